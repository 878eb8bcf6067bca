"""Exact depths of a ball give the ball."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from exporting.mesh.files import write_mesh, write_points
from exporting.mesh.fusion import Box, coarser, crop, fuse, voxel_size
from exporting.mesh.surface import extract, tidy, vertex_colours
from exporting.mesh.views import DepthView
from geometry.cameras import make_cameras
from tests.scenes import circle_poses

SIZE, FOCAL, VOXEL = 96, 130.0, 0.05


def read_file(path: Path) -> Any:
    return trimesh.load(path)


def ball_views() -> list[DepthView]:
    """A unit ball whose colour is its normal, from around, above and below."""
    poses = np.concatenate([circle_poses(8, height=h) for h in (-3.0, 0.0, 3.0)])
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    views = []
    for pose in poses:
        lens = (FOCAL, FOCAL, SIZE / 2, SIZE / 2)
        camera = make_cameras(pose[None, :3], [lens], [(SIZE, SIZE)])
        o, d = camera.rays(torch.zeros(SIZE**2, dtype=torch.int64), x.reshape(-1), y.reshape(-1))
        b = (o * d).sum(1)
        t = -b - (b**2 - (o**2).sum(1) + 1).sqrt()
        normal = o + t[:, None] * d
        rgb = ((normal + 1) / 2).nan_to_num(0).clamp(0, 1)
        depth = t.nan_to_num(torch.inf)
        views.append(DepthView(camera, depth.view(SIZE, SIZE), rgb.view(SIZE, SIZE, 3)))
    return views


@pytest.fixture(scope="module")
def views() -> list[DepthView]:
    return ball_views()


@pytest.fixture(scope="module")
def volume(views):
    box = crop(views, Box(torch.full((3,), -3.0), torch.full((3,), 3.0)))
    assert box is not None
    torch.testing.assert_close(box.high, torch.ones(3), atol=0.05, rtol=0)
    return fuse(views, box, VOXEL)


@pytest.mark.parametrize("watertight", [False, True])
def test_vertices_are_on_the_ball(volume, watertight):
    mesh = extract(volume, watertight)
    radius = np.linalg.norm(mesh.vertices, axis=1)
    assert np.abs(radius - 1).max() < VOXEL
    assert np.abs(radius - 1).mean() < VOXEL / 5
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi, rel=0.03)  # positive: faces look outwards


def test_a_tidy_mesh_has_no_crumbs_and_few_faces(volume):
    mesh = extract(volume, watertight=True)
    crumb = trimesh.creation.box((0.1, 0.1, 0.1))
    crumb.apply_translation((2, 2, 2))
    both: Any = trimesh.util.concatenate([mesh, crumb])
    mesh = tidy(both, 2000)
    assert len(mesh.faces) <= 2000
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 1).max() < VOXEL


def test_a_coarser_volume_has_the_same_surface(volume):
    mesh = extract(coarser(volume, 1.6), watertight=True)
    assert mesh.is_watertight
    assert len(mesh.faces) < 0.6 * len(extract(volume, watertight=True).faces)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 1).mean() < VOXEL / 3


def test_what_one_side_sees_is_open_or_closed(views):
    box = Box(-torch.ones(3), torch.ones(3))
    half = fuse([view for view in views if view.camera.c2w[0, 0, 3] > 2], box, VOXEL)
    opened, closed = extract(half, watertight=False), extract(half, watertight=True)
    assert not opened.is_watertight
    assert np.abs(np.linalg.norm(opened.vertices, axis=1) - 1).max() < 2 * VOXEL
    assert closed.is_watertight


def test_the_voxel_fits_the_box():
    box = Box(torch.zeros(3), torch.tensor([1.0, 2.0, 4.0]))
    assert voxel_size(box, 0.001, 8000) == pytest.approx(0.1)
    assert voxel_size(box, 0.5, 8000) == 0.5


@pytest.mark.parametrize("ending", ["glb", "ply", "obj", "stl"])
def test_files_are_read_back(views, volume, ending, tmp_path):
    mesh = tidy(extract(volume, watertight=True), 3000)
    colours = vertex_colours(mesh, views, VOXEL)
    normal = np.asarray(mesh.vertices) / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    assert np.abs(colours - (normal + 1) / 2).mean() < 0.03
    path = tmp_path / f"ball.{ending}"
    write_mesh(path, mesh, colours)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    read = read_file(path)
    if ending == "glb":
        (read,) = read.geometry.values()
        stored = read.visual.vertex_attributes["color"]
        assert read.visual.material.metallicFactor == 0
        linear = ((colours + 0.055) / 1.055) ** 2.4
        assert np.abs(stored[:, :3] / 255 - linear).mean() < 0.01
    elif ending != "stl":
        assert np.abs(read.visual.vertex_colors[:, :3] / 255 - colours).max() < 0.01
    assert len(read.faces) == len(mesh.faces)
    np.testing.assert_allclose(read.bounds, mesh.bounds, atol=1e-5)


def test_points_are_read_back(tmp_path):
    rng = np.random.default_rng(0)
    points, colours = rng.normal(size=(50, 3)), rng.random((50, 3))
    write_points(tmp_path / "points.ply", points, colours)
    read = read_file(tmp_path / "points.ply")
    np.testing.assert_allclose(read.vertices, points, atol=1e-5)
    assert np.abs(read.colors[:, :3] / 255 - colours).max() < 0.01
    assert b"binary_little_endian" in (tmp_path / "points.ply").read_bytes()[:60]
