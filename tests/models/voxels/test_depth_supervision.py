"""What rays towards known points teach a voxel field: nothing before them, and all behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.loaders.depth_rays import DepthSupervision
from datasets.sparse.observations import SparseObservations
from geometry.cameras import make_cameras
from geometry.rays import Bounds
from geometry.region import Region
from models.voxels.field import VoxelField
from models.voxels.renderer import VoxelRenderer

SIZE = (400, 300)


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
