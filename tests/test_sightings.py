"""Points of a sparse model: who saw them, and that nothing is in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import load_scene
from datasets.ndc import NDC
from datasets.rays import Bounds
from datasets.region import Region
from datasets.scene import make_cameras
from datasets.sightings import FreeSpace, Sightings
from datasets.sparse import registered
from models.voxels.field import VoxelField
from models.voxels.renderer import VoxelRenderer
from opt import SceneOptions

from .capture_scene import orbit, points_seen, run
from .scenes import forward_poses

SIZE = (400, 300)


@pytest.fixture
def captured(tmp_path):
    """A folder with a model of eight cameras around points on a ball, and blank photos."""
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    (tmp_path / "images").mkdir()
    model = points_seen(orbit(8))
    model.write(tmp_path / "sparse" / "0")
    for image in registered(model):
        Image.new("RGB", SIZE).save(tmp_path / "images" / image.name)
    return tmp_path


def load(root, name, **options):
    return load_scene(SceneOptions(root_dir=str(root), dataset_name=name, **options))


@pytest.mark.parametrize("name", ["colmap", "llff", "transforms"])
def test_every_format_of_a_prepared_scene_has_the_models_points(captured, tmp_path, name):
    run(captured, tmp_path / "scene")
    scene = load(tmp_path / "scene", name)
    assert scene.sightings is not None
    assert len(scene.sightings) == 8 * 200
    camera, point = scene.sightings.camera, scene.sightings.point
    # The ball's points are where it is, and in front of the cameras that saw them.
    in_file = point.double().numpy() @ scene.to_input[:3, :3].T + scene.to_input[:3, 3]
    centre = in_file.reshape(8, 200, 3).mean(axis=(0, 1))
    radius = np.linalg.norm(in_file - centre, axis=1)
    assert radius.std() / radius.mean() < 0.05
    local = (point - scene.cameras.c2w[camera, :, 3])[:, None] @ scene.cameras.c2w[camera, :, :3]
    assert bool((local[:, 0, 2] < 0).all())


def test_held_out_cameras_tell_nothing(captured):
    scene = load(captured, "colmap", holdout=4)
    seen = scene.sightings.of(scene.splits["train"])
    assert len(seen) == 6 * 200
    for number, camera in enumerate(scene.splits["train"]):
        own = scene.sightings.point[scene.sightings.camera == camera]
        assert torch.equal(seen.point[seen.camera == number], own)


def test_points_that_few_images_saw_are_not_relied_on(captured):
    model = points_seen(orbit(8)[:2])
    model.write(captured / "sparse" / "0")
    assert load(captured, "colmap", holdout=0).sightings is None


def test_a_model_of_other_poses_is_not_taken(captured, tmp_path):
    run(captured, tmp_path / "scene")
    table = np.load(tmp_path / "scene" / "poses_bounds.npy")
    table[:, [3, 8, 13]] *= 1.1  # the cameras' places
    np.save(tmp_path / "scene" / "poses_bounds.npy", table)
    assert load(tmp_path / "scene", "llff").sightings is None


@pytest.mark.parametrize("ndc", [None, NDC(2.0, 2.5)], ids=["around", "ndc"])
def test_rays_stop_before_the_point_that_was_seen(ndc):
    poses = forward_poses(3).astype(np.float64)
    cameras = make_cameras(poses[:, :3], [(400, 400, 200, 150)] * 3, [SIZE] * 3)
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(50, 3, generator=generator) - torch.tensor([0.5, 0.5, 9.0])
    sightings = Sightings(torch.arange(50) % 3, points)
    far = 9.0 if ndc is None else 1.0
    rays, stops = FreeSpace(sightings, cameras, Bounds(0.0, far, ndc))(200, generator)
    end = rays.points(stops[:, None])[:, 0]
    origins = cameras.c2w[:, :, 3]
    for ray in range(200):
        ways = points - origins[rays.image[ray]]
        places = origins[rays.image[ray]] + 0.97 * ways
        if ndc is not None:
            places = ndc.points(places)
        assert float((places - end[ray]).norm(dim=1).min()) < 1e-4


def test_fog_before_a_point_is_cleared_and_what_is_behind_it_stays():
    region = Region((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), unbounded=True)
    pose = np.eye(4)[None, :3]
    pose[0, :, 3] = [0.0, 0.0, 3.0]
    cameras = make_cameras(pose, [(400, 400, 200, 150)], [SIZE])
    sightings = Sightings(torch.zeros(1, dtype=torch.long), torch.zeros(1, 3))
    field = VoxelField(region, resolution=200)
    torch.nn.init.constant_(field.density_table, 3.0)
    free_space = FreeSpace(sightings, cameras, Bounds(0.1, 5.0))
    renderer = VoxelRenderer(field, 0.0, free_space)
    generator = torch.Generator().manual_seed(0)
    rays, _ = free_space(16, generator)
    rays = replace(rays, far=torch.full((16,), 5.0))
    rendering = renderer.train(rays, 1.0, 0.0, generator)["voxels"]
    assert len(rendering.rgb) == len(rendering.opacity) == 16
    assert rendering.penalty is not None
    assert 0 < float(rendering.penalty.detach()) < float(rendering.opacity.detach().mean())
    rendering.penalty.backward()
    assert field.density_table.grad is not None
    (touched,) = (field.density_table.grad.squeeze(1) > 0).nonzero(as_tuple=True)
    fine = touched[touched < len(field.grid.levels[0].corners)]
    corners = field.grid.lattice.points(field.grid.corner_coordinates()[fine])
    cell = float(field.grid.lattice.cell_length(torch.zeros(3)))
    assert len(fine) > 10
    assert float(corners[:, 2].max()) > 0.5
    assert float(corners[:, 2].min()) > 0.09 + cell  # two cells before what is met
    assert float(corners[:, :2].abs().max()) < 1.5 * cell + 0.2
