"""The picture of a path."""

from __future__ import annotations

import numpy as np

from paths.draw import draw_path
from paths.path import PathConfig
from paths.plan import plan_path
from tests.paths.made import UP, captures


def test_a_path_is_drawn_from_two_sides(tmp_path):
    scene, _, _ = captures()["arc 120"]
    photos = scene.cameras.c2w.double().numpy()
    path = plan_path(scene, PathConfig(n_frames=30))
    points = np.random.default_rng(0).random((50, 3)) - 0.5
    figure = draw_path(path, photos, UP, points)
    assert [axes.get_title() for axes in figure.axes] == ["from above", "from the side"]
    above, side = figure.axes
    loop = np.asarray(above.lines[0].get_xydata())
    assert len(loop) == 31
    np.testing.assert_allclose(loop[0], loop[-1])
    # The cameras look along +y: that is up in the picture from above, and +x to the right.
    frames = path.cameras.c2w[:, :, 3].double().numpy()
    np.testing.assert_allclose(loop[:-1], frames[:, :2], atol=0.15)
    heights = np.asarray(side.lines[0].get_xydata())[:-1, 1]
    np.testing.assert_allclose(heights, frames[:, 2], atol=1e-5)
    figure.savefig(tmp_path / "path.png")
    assert (tmp_path / "path.png").stat().st_size > 5000
