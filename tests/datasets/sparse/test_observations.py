"""Points of a sparse model: which photos show them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets import load_scene
from datasets.config import SceneConfig
from tests.capture_scene import orbit, points_seen, run
from tests.helpers.sparse_scenes import SIZE, write_sparse_scene


@pytest.fixture
def captured(tmp_path):
    """A folder with a model of eight cameras around points on a ball, and blank photos."""
    return write_sparse_scene(tmp_path / "captured")


def load(root, name, **options):
    return load_scene(SceneConfig(root_dir=str(root), dataset_name=name, **options))


@pytest.mark.parametrize("name", ["colmap", "llff", "transforms"])
def test_every_format_of_a_prepared_scene_has_the_models_points(captured, tmp_path, name):
    run(captured, tmp_path / "scene")
    scene = load(tmp_path / "scene", name)
    observations = scene.observations()
    assert observations is not None
    assert len(observations) == 8 * 200
    camera, point = observations.camera, observations.point
    # The ball's points are where it is, and in front of the cameras that saw them.
    in_file = point.double().numpy() @ scene.to_input[:3, :3].T + scene.to_input[:3, 3]
    centre = in_file.reshape(8, 200, 3).mean(axis=(0, 1))
    radius = np.linalg.norm(in_file - centre, axis=1)
    assert radius.std() / radius.mean() < 0.05
    local = (point - scene.cameras.c2w[camera, :, 3])[:, None] @ scene.cameras.c2w[camera, :, :3]
    assert bool((local[:, 0, 2] < 0).all())


def test_held_out_cameras_tell_nothing(captured):
    scene = load(captured, "colmap", holdout=4)
    observations = scene.observations()
    seen = observations.of_cameras(scene.splits["train"])
    assert len(seen) == 6 * 200
    for number, camera in enumerate(scene.splits["train"]):
        own = observations.point[observations.camera == camera]
        assert torch.equal(seen.point[seen.camera == number], own)


def test_points_that_few_images_saw_are_not_relied_on(captured):
    model = points_seen(orbit(8)[:2])
    model.write(captured / "sparse" / "0")
    assert load(captured, "colmap", holdout=0).observations() is None


def test_a_model_of_other_poses_is_not_taken(captured, tmp_path):
    run(captured, tmp_path / "scene")
    table = np.load(tmp_path / "scene" / "poses_bounds.npy")
    table[:, [3, 8, 13]] *= 1.1  # the cameras' places
    np.save(tmp_path / "scene" / "poses_bounds.npy", table)
    assert load(tmp_path / "scene", "llff").observations() is None


@pytest.mark.parametrize("damage", ["garbage", "cut"])
@pytest.mark.parametrize("file", ["cameras", "images", "points3D"])
def test_a_damaged_model_beside_a_scene_is_said_and_not_needed(
    captured, tmp_path, capsys, file, damage
):
    run(captured, tmp_path / "scene")
    path = tmp_path / "scene" / "sparse" / "0" / f"{file}.bin"
    whole = path.read_bytes()
    path.write_bytes(b"\x05" * 11 if damage == "garbage" else whole[: len(whole) // 2])
    scene = load(tmp_path / "scene", "llff")
    assert "not used" not in capsys.readouterr().out  # nor read, before they are asked for
    assert scene.observations() is None
    assert "not used" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["masks", "alpha"])
def test_what_a_photo_does_not_show_is_not_relied_on(captured, kind):
    scene = load(captured, "colmap", holdout=0)
    photos = scene.photos(scene.splits["train"])
    shown = torch.ones(len(photos.pixels), dtype=torch.bool)
    left = torch.arange(SIZE[0]).repeat(SIZE[1] * len(photos)) < 200
    shown[left] = False
    if kind == "masks":
        photos = replace(photos, valid=shown)
    else:
        photos = replace(photos, alpha=shown.to(torch.uint8) * 255)
    observations = scene.observations()
    seen = observations.visible(photos, scene.cameras)
    assert 0.3 < len(seen) / len(observations) < 0.7
    c2w = scene.cameras.c2w[seen.camera]
    local = ((seen.point - c2w[:, :, 3])[:, None] @ c2w[:, :, :3])[:, 0]
    assert bool((local[:, 0] > 0).all())  # right of the middle
    assert len(observations.visible(scene.photos(scene.splits["train"]), scene.cameras)) == 1600
