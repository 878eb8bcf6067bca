"""The synthetic scenes' format."""

from __future__ import annotations

import pytest

from errors import UserError
from tests.helpers.ball_scenes import ball_agrees, load
from tests.scenes import (
    write_blender,
)


def test_blender(tmp_path):
    scene = load(write_blender(tmp_path / "ball"), "blender")
    assert {name: len(views) for name, views in scene.splits.items()} == {
        "train": 8,
        "val": 2,
        "test": 3,
    }
    assert (scene.bounds.near, scene.bounds.far) == (2.0, 6.0)
    photos = scene.photos(scene.splits["train"])
    assert photos.pixels.shape == (8 * 24 * 24, 3)
    assert (photos.image(0)[0, 0] == 255).all()  # transparent is white
    ball_agrees(scene, 5)


def test_blender_at_another_size(tmp_path):
    scene = load(write_blender(tmp_path / "ball"), "blender", img_wh=(40, 12))
    assert scene.photos([0]).image(0).shape == (12, 40, 3)
    ball_agrees(scene, 5, levels=5)


def test_blender_file_names_with_endings(tmp_path):
    root = write_blender(tmp_path / "ball")
    path = root / "transforms_train.json"
    path.write_text(
        path.read_text().replace('r_1"', 'r_1.png"').replace('"./train/r_2"', '"train\\\\r_2"')
    )
    assert len(load(root, "blender").splits["train"]) == 8


def test_blender_without_test_views(tmp_path):
    root = write_blender(tmp_path / "ball")
    (root / "transforms_test.json").unlink()
    assert load(root, "blender").splits["test"] == load(root, "blender").splits["val"]


def test_the_other_blender_format_is_pointed_out(tmp_path):
    with pytest.raises(UserError, match="--dataset_name blender"):
        load(write_blender(tmp_path / "ball"), "transforms")
