"""How views are measured."""

from __future__ import annotations

import numpy as np
import pytest

from eval import View, right_half


@pytest.mark.parametrize("width", [1, 2])
def test_right_half_of_a_narrow_view(width):
    image = np.full((3, width, 3), 100, dtype=np.uint8)
    view = View(image, np.ones((3, width)), np.ones((3, width), dtype=np.float16), 0.0)
    got, photo, mask = right_half(view, image, np.zeros((3, width), dtype=bool), 0.0)
    assert np.array_equal(got, image[:, :1])
    assert photo.shape == got.shape
    assert mask is not None
    assert mask.shape == (3, 1)
