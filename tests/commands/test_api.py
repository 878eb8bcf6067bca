"""A trained scene in a notebook: what is loaded, and what is rendered of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from api import Model, load, load_scene_files
from errors import UserError
from geometry.cameras import make_cameras
from tests.helpers.commands import TINY
from tests.helpers.runs import command
from tests.scenes import circle_poses, write_blender


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball")
    common = ("--root_dir", "ball", "--accelerator", "cpu")
    run = ("--max_steps", "200", "--model", "voxels", "--resolution", "32", "--val_rays", "64")
    command(folder, "train", *common, *run, "--exp_name", "voxels")
    command(folder, "train", *common, *TINY, "--max_steps", "2", "--exp_name", "nerf")
    return folder


@pytest.fixture(scope="module", params=["voxels", "nerf"])
def model(request, folder) -> Model:
    return load(folder / f"ckpts/{request.param}/last.ckpt", "cpu")


def test_a_view_is_that_of_the_evaluation(folder, model):
    name = model.options.model
    args = ("--ckpt_path", f"ckpts/{name}/last.ckpt", "--split", "test", "--out_dir", name)
    command(folder, "eval", *args, "--accelerator", "cpu")
    index = model.scene.splits["test"][1]
    out = model.render(model.scene.cameras[[index]])
    saved = np.asarray(Image.open(folder / name / "test/001.png"))
    assert out.rgb.shape == (24, 24, 3)
    assert np.abs((out.rgb.clamp(0, 1) * 255).numpy() - saved).max() <= 0.51


def test_depth_and_opacity_are_those_of_the_ball(folder):
    model = load(folder / "ckpts/voxels/last.ckpt", "cpu")
    out = model.render(model.scene.cameras[0:1])
    assert out.depth.shape == out.opacity.shape == (24, 24)
    distance = float(model.scene.cameras.c2w[0, :, 3].norm())
    # A unit ball around the origin, seen from its front, after few steps.
    assert float(out.depth[11:13, 11:13].mean()) == pytest.approx(distance - 1, abs=0.4)
    assert float(out.opacity[11:13, 11:13].min()) > 0.9
    assert not out.depth[0, 0]
    assert float(out.opacity[0, 0]) < 0.1


def test_a_camera_of_ones_own_of_any_size(model):
    camera = make_cameras(circle_poses(5)[3:4], [(33.0, 33.0, 12.0, 12.0)], [(24, 24)])
    whole = model.render(camera)
    assert whole.rgb.shape == (24, 24, 3)
    assert model.render(camera, size=(10, 6)).rgb.shape == (6, 10, 3)
    assert torch.equal(model.render(camera).rgb, whole.rgb)


def test_fields_are_asked_at_points_of_the_scene(folder):
    field = load(folder / "ckpts/voxels/last.ckpt", "cpu").fields["nerf_coarse"]
    raw, feature = field.density(torch.tensor([[0.0, 0.0, 0.95], [1.4, 1.4, 1.4]]))
    inside, outside = field.activation(raw).tolist()
    assert inside > 10 * outside
    assert field.color(feature, torch.tensor([[0.0, 0.0, -1.0]])).shape == (2, 3)


def test_mistakes_are_told(folder, model, tmp_path):
    with pytest.raises(ValueError, match="one camera, not 2"):
        model.render(model.scene.cameras[0:2])
    with pytest.raises(UserError, match="no such checkpoint"):
        load(tmp_path / "none.ckpt")
    weights = torch.load(folder / "ckpts/nerf/last.ckpt", weights_only=True)["state_dict"]
    torch.save(dict(weights), tmp_path / "bare.ckpt")
    with pytest.raises(UserError, match="has no scene"):
        load(tmp_path / "bare.ckpt")


def test_a_scene_with_its_photos(folder):
    scene = load_scene_files(folder / "ball", "blender", img_wh=(12, 12))
    assert scene.photos([0]).image(0).shape == (12, 12, 3)
    with pytest.raises(UserError, match="no such folder"):
        load_scene_files(folder / "nowhere", "blender")
