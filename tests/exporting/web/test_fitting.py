"""A page is as small as it is asked to be, or refused in one line."""

from __future__ import annotations

import re

import pytest

from errors import UserError
from exporting.web.fitting import LEVELS, fit
from tests.exporting.web.fields import ball_field, scene_of


def test_a_page_is_as_small_as_asked():
    field, scene = ball_field("box", 60.0), scene_of("box")
    whole = fit(field, scene.cameras, scene, 25.0)
    assert whole.kept == 1
    small = fit(field, scene.cameras, scene, 0.2 + 4 / 3 * 0.2 * len(whole.content) / 1e6)
    assert small.kept < 1
    assert small.levels == LEVELS[-1]
    assert len(small.content) <= 0.21 * len(whole.content)
    with pytest.raises(UserError, match=re.escape("--web_mb 0.1 is too little")):
        fit(field, scene.cameras, scene, 0.1)


def test_a_field_with_nothing_in_it_is_refused():
    field, scene = ball_field("box"), scene_of("box")
    field.density_table.data.fill_(-20)
    with pytest.raises(UserError, match="there is nothing in a ball"):
        fit(field, scene.cameras, scene, 25.0)
