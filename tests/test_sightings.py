"""Points of a sparse model: who saw them, nothing before them, and all behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import load_scene
from datasets.config import SceneConfig
from datasets.loaders.depth_rays import DepthSupervision
from datasets.sparse.model import registered
from datasets.sparse.observations import SparseObservations
from geometry.cameras import make_cameras
from geometry.ndc import NDC
from geometry.rays import Bounds
from geometry.region import Region
from models.voxels.field import VoxelField
from models.voxels.renderer import VoxelRenderer
from tests.capture_scene import orbit, points_seen, run
from tests.scenes import forward_poses

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
    seen = observations.of(scene.splits["train"])
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


@pytest.mark.parametrize("ndc", [None, NDC(2.0, 2.5)], ids=["around", "ndc"])
def test_rays_are_followed_to_before_and_behind_the_point_that_was_seen(ndc):
    poses = forward_poses(3).astype(np.float64)
    cameras = make_cameras(poses[:, :3], [(400, 400, 200, 150)] * 3, [SIZE] * 3)
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(50, 3, generator=generator) - torch.tensor([0.5, 0.5, 9.0])
    observations = SparseObservations(torch.arange(50) % 3, points)
    far = 9.0 if ndc is None else 1.0
    draw = DepthSupervision(observations, cameras, Bounds(0.0, far, ndc))
    rays, stops, wanted = draw(100, generator)
    assert wanted.tolist() == 100 * [0.0, 1.0]
    assert stops.cells.tolist() == 100 * [-2.0, 2.0]
    end = rays.points(stops.t[:, None])[:, 0]
    origins = cameras.c2w[:, :, 3]
    for ray in range(200):
        camera = int(rays.camera_indices[ray])
        way = (0.97, 1.03)[ray % 2] * (points[camera::3] - origins[camera])
        places = origins[camera] + way
        if ndc is not None:
            places = ndc.points(places)
        assert float((places - end[ray]).norm(dim=1).min()) < 1e-4


@pytest.fixture
def looked_at():
    """A field in contracted space, a camera at z = 3, and a point at the origin that it saw."""
    region = Region((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), unbounded=True)
    pose = np.eye(4)[None, :3]
    pose[0, :, 3] = [0.0, 0.0, 3.0]
    cameras = make_cameras(pose, [(400, 400, 200, 150)], [SIZE])
    observations = SparseObservations(torch.zeros(1, dtype=torch.long), torch.zeros(1, 3))
    draw = DepthSupervision(observations, cameras, Bounds(0.1, 5.0))
    return VoxelField(region, resolution=200), draw


def moved(field: VoxelField) -> tuple[torch.Tensor, torch.Tensor]:
    """z of the corners whose density a step down the gradient would lower, or raise."""
    fine = slice(len(field.grid.levels[0].corners))
    assert field.density_table.grad is not None
    grad = field.density_table.grad[fine, 0]
    z = field.grid.lattice.points(field.grid.corner_coordinates())[:, 2]
    return z[grad > 1e-7], z[grad < -1e-7]


@pytest.mark.parametrize("density", [0.5, 1.5])
def test_fog_before_a_point_thins_and_what_it_is_of_thickens(looked_at, density):
    field, draw = looked_at
    torch.nn.init.constant_(field.density_table, density)
    generator = torch.Generator().manual_seed(0)
    rays = draw(8, generator)[0]
    rendering = VoxelRenderer(field, 0.0, draw).train(rays, 1.0, 0.0, generator)["voxels"]
    assert len(rendering.rgb) == len(rendering.opacity) == 16
    assert rendering.penalty is not None
    rendering.penalty.backward()
    cell = float(field.grid.lattice.cell_length(torch.zeros(3)))
    thinner, thicker = moved(field)
    assert len(thinner) > 0
    assert float(thinner.min()) > 0.09 + cell  # from two cells before the point
    assert len(thicker) > 0
    assert float(thicker.min()) > -0.09 - 3 * cell  # to two cells behind it
    assert float(thicker.min()) < 0


def test_colours_are_those_without_points(looked_at):
    field, draw = looked_at
    torch.nn.init.constant_(field.density_table, 3.0)
    rays = draw(8, torch.Generator().manual_seed(0))[0]
    with_points, without = (
        VoxelRenderer(field, 0.0, d).train(rays, 0.0, 0.0, torch.Generator().manual_seed(1))
        for d in (draw, None)
    )
    ours, theirs = with_points["voxels"], without["voxels"]
    torch.testing.assert_close(ours.opacity, theirs.opacity)
    assert theirs.penalty is None


def test_rays_towards_points_leave_features_alone(looked_at):
    field, draw = looked_at
    torch.nn.init.constant_(field.density_table, 1.0)
    renderer = VoxelRenderer(field, 0.0, draw)
    generator = torch.Generator().manual_seed(0)
    away = replace(draw(8, generator)[0], directions=torch.tensor([[0.0, 0.6, 0.8]]).expand(16, 3))
    rendering = renderer.train(away, 1.0, 0.0, generator)["voxels"]
    assert rendering.penalty is not None
    (rendering.rgb.sum() + rendering.penalty).backward()
    grad = field.feature_table.grad
    assert grad is not None
    assert grad._nnz() > 0
    rows = grad._indices()[0]
    fine = rows[rows < len(field.grid.levels[0].corners)]
    corners = field.grid.lattice.points(field.grid.corner_coordinates()[fine])
    assert float(corners[:, 2].min()) > 2.0  # nothing on the way to the origin


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
    seen = observations.shown(photos, scene.cameras)
    assert 0.3 < len(seen) / len(observations) < 0.7
    c2w = scene.cameras.c2w[seen.camera]
    local = ((seen.point - c2w[:, :, 3])[:, None] @ c2w[:, :, :3])[:, 0]
    assert bool((local[:, 0] > 0).all())  # right of the middle
    assert len(observations.shown(scene.photos(scene.splits["train"]), scene.cameras)) == 1600
