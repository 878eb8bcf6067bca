"""The crop box: which points it holds, and that it survives being written."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from geometry.crop import CropBox
from geometry.ndc import NDC

TURN = math.radians(30)
AXES = ((math.cos(TURN), math.sin(TURN), 0.0), (-math.sin(TURN), math.cos(TURN), 0.0), (0, 0, 1.0))
TURNED = CropBox((1.0, 2.0, 3.0), (0.5, 1.0, 2.0), AXES)


def test_points_of_a_turned_box():
    local = 2 * torch.rand(2, 100, 3, generator=torch.Generator().manual_seed(0)) - 1
    local *= torch.tensor([1.0, 2.0, 4.0])  # one in eight is inside
    points = torch.tensor(TURNED.center) + local @ torch.tensor(AXES)
    expected = (local.abs() <= torch.tensor(TURNED.half)).all(dim=-1)
    assert expected.any()
    assert torch.equal(TURNED.contains(points), expected)


def test_corners_are_just_inside_and_span_the_box():
    corners = torch.from_numpy(TURNED.corners()).float()
    middle = torch.tensor(TURNED.center)
    assert TURNED.contains(middle + 0.999 * (corners - middle)).all()
    assert not TURNED.contains(middle + 1.001 * (corners - middle)).any()
    assert np.allclose(corners[0] - corners[4], -2 * 0.5 * np.array(AXES[0]), atol=1e-6)


def test_points_of_the_rays_space_are_taken_back_to_the_scene():
    ndc = NDC(1.7, 1.3, 0.8)
    world = torch.tensor([[0.3, -0.4, -1.0], [4.0, 1.0, -9.0], [0.0, 0.0, -400.0]])
    assert torch.allclose(ndc.inverse_points(ndc.points(world)), world, rtol=1e-3)
    box = CropBox((0.0, 0.0, -5.0), (3.0, 3.0, 4.5))
    assert box.contains(ndc.points(world), ndc).tolist() == [True, False, False]
    assert torch.isfinite(ndc.inverse_points(torch.tensor([[0.5, 0.5, 1.0]]))).all()


def test_plain_values_and_back():
    assert CropBox.from_dict(TURNED.to_dict()) == TURNED
    for wrong in (
        {"half": [1.0, 0.0, 1.0]},
        {"center": [math.nan, 0.0, 0.0]},
        {"axes": [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]},
    ):
        with pytest.raises(ValueError, match="no box"):
            CropBox.from_dict(TURNED.to_dict() | wrong)
