"""A crop in a checkpoint: nothing else in the file changes, and all commands show what is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from api import load, save_crop
from errors import UserError
from geometry.crop import CropBox
from tests.helpers.runs import command
from tests.scenes import write_blender

# Of a unit ball around the origin, less than its half.
RIGHT = CropBox((1.2, 0.0, 0.0), (1.0, 5.0, 5.0))
CELL = 0.15


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball", size=24)
    run = ("--max_steps", "200", "--model", "voxels", "--resolution", "32", "--val_rays", "64")
    args = ("--root_dir", "ball", "--accelerator", "cpu", *run, "--exp_name", "ball")
    command(folder, "train", *args)
    return folder


@pytest.fixture(scope="module")
def cropped(folder) -> Path:
    path = folder / "cropped.ckpt"
    path.write_bytes((folder / "ckpts/ball/last.ckpt").read_bytes())
    save_crop(path, RIGHT)
    return path


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_the_rest_of_the_checkpoint_stays(folder, cropped):
    before, after = (
        torch.load(path, weights_only=True) for path in (folder / "ckpts/ball/last.ckpt", cropped)
    )
    assert before["scene"].pop("crop") is None
    assert after["scene"].pop("crop") == RIGHT.to_dict()
    assert "optimizer_states" in before
    assert same(before, after)
    assert not list(folder.glob(".*"))


def test_it_can_be_taken_out_again_and_old_checkpoints_have_none(folder, cropped):
    path = folder / "again.ckpt"
    path.write_bytes(cropped.read_bytes())
    save_crop(path, None)
    assert load(path, "cpu").scene.crop is None
    content = torch.load(path, weights_only=True)
    del content["scene"]["crop"]
    torch.save(content, path)
    assert load(path, "cpu").scene.crop is None


def test_a_damaged_crop_and_a_file_without_a_scene_are_told(folder, cropped):
    content = torch.load(cropped, weights_only=True)
    content["scene"]["crop"]["half"] = [1.0, -1.0, 1.0]
    torch.save(content, folder / "damaged.ckpt")
    with pytest.raises(UserError, match=r"damaged\.ckpt: the description of the scene is damaged"):
        load(folder / "damaged.ckpt", "cpu")
    torch.save({"state_dict": {}}, folder / "foreign.ckpt")
    with pytest.raises(UserError, match="no description of its scene"):
        save_crop(folder / "foreign.ckpt", RIGHT)


def test_what_is_seen_lies_in_the_box(cropped):
    model = load(cropped, "cpu")
    seen = 0
    for index in range(len(model.scene.cameras)):
        camera = model.scene.cameras[index]
        depth = model.render(camera).depth
        y, x = (depth > 0).nonzero(as_tuple=True)
        origins, directions = camera.rays(torch.zeros_like(x), x, y)
        points = origins + directions * depth[y, x, None]
        # Depth is a mean over the ray: within a cell or two.
        assert (points[:, 0] > RIGHT.center[0] - RIGHT.half[0] - 2 * CELL).all()
        seen += len(points)
    assert seen > 100


def test_eval_renders_it_and_the_whole_scene_on_demand(folder, cropped):
    model = load(cropped, "cpu")
    args = ("--ckpt_path", str(cropped), "--split", "test", "--accelerator", "cpu")
    said = command(folder, "eval", *args, "--out_dir", "box")
    assert "--no_crop renders all" in said
    command(folder, "eval", *args, "--out_dir", "all", "--no_crop")
    for name, shown in (("box", model), ("all", model.cropped(None))):
        index = model.scene.splits["test"][2]
        rgb = shown.render(model.scene.cameras[index]).rgb.clamp(0, 1)
        saved = np.asarray(Image.open(folder / name / "test/002.png"))
        assert np.abs(255 * rgb.numpy() - saved).max() <= 0.51
    assert "crop box" in (folder / "box/test/metrics.json").read_text()
    assert "crop box" not in (folder / "all/test/metrics.json").read_text()


def test_exports_hold_nothing_else(folder, cropped):
    sizes = []
    for path in (folder / "ckpts/ball/last.ckpt", cropped):
        args = ("--ckpt_path", str(path), "--web", "ball.html", "--points", "ball.ply")
        command(folder, "export", *args, "--accelerator", "cpu")
        found = re.search(r'"streams": \[(\d+), (\d+)\]', (folder / "ball.html").read_text())
        assert found
        sizes.append(int(found[1]) + int(found[2]))
        points = trimesh.load(folder / "ball.ply").vertices  # type: ignore[attr-defined]
        low = points[:, 0].min()
        assert low < -0.7 if path is not cropped else low > 0.2 - 2 * CELL
    assert sizes[1] < 0.7 * sizes[0]
    weights = ("--export_weights", "small.ckpt")
    command(folder, "eval", "--ckpt_path", str(cropped), *weights)
    assert load(folder / "small.ckpt", "cpu").scene.crop == RIGHT
