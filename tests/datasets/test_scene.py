"""What scenes of all formats share."""

from __future__ import annotations

import json

import pytest
import torch

from datasets.scene import Scene
from errors import UserError
from tests.helpers.ball_scenes import BALL_BEFORE, load
from tests.helpers.sparse_scenes import write_sparse_scene
from tests.scenes import circle_poses, forward_poses, write_llff


def test_a_scene_survives_a_checkpoint(tmp_path):
    root = write_llff(tmp_path / "ball", forward_poses(9), centre=BALL_BEFORE)
    scene = load(root, "llff")
    again = Scene.from_dict(json.loads(json.dumps(scene.to_dict())))
    assert again.bounds == scene.bounds
    assert again.splits == scene.splits
    assert torch.equal(again.cameras.c2w, scene.cameras.c2w)
    assert again.units == pytest.approx(scene.units)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc/cron", "_.._etc_cron"),
        ("/root/x", "_root_x"),
        ("..", "scene"),
        ("C:\\x", "C__x"),
        ("a\x1b[2Jb\n", "a_[2Jb_"),
        ("my pig", "my pig"),
    ],
)
def test_the_name_in_a_checkpoint_leads_to_no_other_folder(tmp_path, name, plain):
    values = load(write_llff(tmp_path / "ball", circle_poses(9)), "llff").to_dict()
    assert Scene.from_dict({**values, "name": name}).name == plain


@pytest.mark.parametrize("name", ["name", "cameras", "splits", "bounds", "up"])
def test_a_scene_without_one_of_its_parts_is_refused(tmp_path, name):
    values = load(write_llff(tmp_path / "ball", circle_poses(9)), "llff").to_dict()
    with pytest.raises(UserError, match="the description of the scene is damaged"):
        Scene.from_dict({**values, name: None})


def test_real_scenes(shared_scene):
    fern = load(shared_scene("fern"), "llff", img_wh=(504, 378))
    assert fern.forward_facing
    assert len(fern.splits["test"]) == 3
    toy = load(shared_scene("toy"), "transforms")
    assert not toy.forward_facing
    assert toy.cameras.size[0].tolist() == [720, 1600]


@pytest.mark.parametrize("name", ["llff", "colmap"])
def test_val_holdout_leaves_test_photos_that_choose_nothing(tmp_path, name):
    if name == "llff":
        root, count = write_llff(tmp_path / "ball", circle_poses(20)), 20
    else:
        root, count = write_sparse_scene(tmp_path / "model", 17), 17
    splits = load(root, name, holdout=8, val_holdout=4).splits
    assert splits["test"] == list(range(0, count, 8))
    assert len(splits["val"]) == -(-(count - len(splits["test"])) // 4)
    views = [view for split in ("train", "val", "test") for view in splits[split]]
    assert sorted(views) == list(range(count))  # each in one split
    same = load(root, name, holdout=8).splits
    assert same["val"] == same["test"] == splits["test"]
    assert len(same["train"]) == count - len(same["test"])


def test_holding_out_all_is_refused(tmp_path):
    root = write_llff(tmp_path / "ball", circle_poses(3))
    with pytest.raises(UserError, match=r"ball: 3 photos and --holdout 2 --val_holdout 2"):
        load(root, "llff", holdout=2, val_holdout=2)
