"""Poses and photos in one NumPy file."""

from __future__ import annotations

import numpy as np
import pytest

from errors import UserError
from tests.helpers.ball_scenes import ball_agrees, load
from tests.scenes import (
    circle_poses,
    write_npz,
)


@pytest.mark.parametrize("opencv", [True, False])
def test_npz_axes_are_found(tmp_path, opencv):
    scene = load(write_npz(tmp_path / "ball.npz", opencv=opencv), "npz")
    np.testing.assert_allclose(scene.cameras.c2w[:8].numpy(), circle_poses(8), atol=1e-5)
    assert (scene.bounds.near, scene.bounds.far) == (2.0, 6.0)
    assert scene.name == "ball"
    assert [len(scene.splits[s]) for s in ("train", "val", "test")] == [8, 2, 3]
    assert scene.has_photos("val")
    assert not scene.has_photos("test")
    ball_agrees(scene, 4)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda a: a.pop("focal"), "focal"),
        (lambda a: a.update(focal=np.array([1.0, 2.0])), r"focal has shape \(2,\)"),
        (lambda a: a.update(c2ws_train=a["c2ws_train"][:5]), "8 images_train but 5"),
        (lambda a: a.update(c2ws_train=np.zeros((8, 3, 3))), r"shape \(8, 3, 3\)"),
        (lambda a: a.update(images_train=np.zeros((8, 24, 24), np.uint8)), "images_train has"),
        (lambda a: a.update(images_val=np.array([None])), "code"),
    ],
)
def test_mistakes_in_npz(tmp_path, change, word):
    path = write_npz(tmp_path / "ball.npz")
    arrays = dict(np.load(path))
    change(arrays)
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=word):
        load(path, "npz")
