"""What rays towards known points teach a voxel field: nothing before them, and all behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.loaders.depth_rays import DepthRays, DepthSupervision
from datasets.sparse.observations import SparseObservations
from geometry.cameras import make_cameras
from geometry.rays import Bounds, Rays
from geometry.region import Region
from losses import sparse_depth_loss
from models.rendering.output import RenderOutput
from models.rendering.renderer import LimitedRays
from models.voxels.field import VoxelField
from models.voxels.renderer import VoxelRenderer
from tests.helpers.models import training_mode

SIZE = (400, 300)


@pytest.fixture
def looked_at():
    """A field in contracted space, a camera at z = 3, and a point at the origin that it saw."""
    region = Region((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), unbounded=True)
    pose = np.eye(4)[None, :3]
    pose[0, :, 3] = [0.0, 0.0, 3.0]
    cameras = make_cameras(pose, [(400, 400, 200, 150)], [SIZE])
    observations = SparseObservations(torch.zeros(1, dtype=torch.long), torch.zeros(1, 3))
    supervision = DepthSupervision(observations, cameras, Bounds(0.1, 5.0))
    return VoxelField(region, resolution=200), supervision


def moved(field: VoxelField) -> tuple[torch.Tensor, torch.Tensor]:
    """z of the corners whose density a step down the gradient would lower, or raise."""
    fine = slice(len(field.grid.levels[0].corners))
    assert field.density_table.grad is not None
    grad = field.density_table.grad[fine, 0]
    z = field.grid.lattice.points(field.grid.corner_coordinates())[:, 2]
    return z[grad > 1e-7], z[grad < -1e-7]


def step(
    field: VoxelField, rays: Rays, drawn: DepthRays | None, perturb: float = 1.0
) -> tuple[RenderOutput, torch.Tensor]:
    """A training step's rendering, and the loss of its rays towards known points."""
    limited = None if drawn is None else LimitedRays(drawn.rays, drawn.limits)
    mode = training_mode(1, perturb, limited=limited)
    output = VoxelRenderer(field).render_train(rays, mode)["voxels"]
    assert len(output.rgb) == len(output.depth) == len(output.opacity) == len(rays)
    if drawn is None:
        assert "limited_opacity" not in output.extras
        return output, torch.zeros(())
    return output, sparse_depth_loss(output.extras["limited_opacity"], drawn.target_opacity)


@pytest.mark.parametrize("density", [0.5, 1.5])
def test_fog_before_a_point_thins_and_what_it_is_of_thickens(looked_at, density):
    field, supervision = looked_at
    torch.nn.init.constant_(field.density_table, density)
    generator = torch.Generator().manual_seed(0)
    rays, drawn = supervision.draw(8, generator).rays, supervision.draw(1, generator)
    _, loss = step(field, rays, drawn)
    loss.backward()
    cell = float(field.grid.lattice.cell_length(torch.zeros(3)))
    thinner, thicker = moved(field)
    assert len(thinner) > 0
    assert float(thinner.min()) > 0.09 + cell  # from two cells before the point
    assert len(thicker) > 0
    assert float(thicker.min()) > -0.09 - 3 * cell  # to two cells behind it
    assert float(thicker.min()) < 0


def test_colours_are_those_without_points(looked_at):
    field, supervision = looked_at
    torch.nn.init.constant_(field.density_table, 3.0)
    drawn = supervision.draw(8, torch.Generator().manual_seed(0))
    with_points, _ = step(field, drawn.rays, drawn, perturb=0.0)
    without, _ = step(field, drawn.rays, None, perturb=0.0)
    torch.testing.assert_close(with_points.opacity, without.opacity)


def test_rays_towards_points_leave_features_alone(looked_at):
    field, supervision = looked_at
    torch.nn.init.constant_(field.density_table, 1.0)
    drawn = supervision.draw(8, torch.Generator().manual_seed(0))
    away = replace(drawn.rays, directions=torch.tensor([[0.0, 0.6, 0.8]]).expand(16, 3))
    output, loss = step(field, away, drawn)
    (output.rgb.sum() + loss).backward()
    grad = field.feature_table.grad
    assert grad is not None
    assert grad._nnz() > 0
    rows = grad._indices()[0]
    fine = rows[rows < len(field.grid.levels[0].corners)]
    corners = field.grid.lattice.points(field.grid.corner_coordinates()[fine])
    assert float(corners[:, 2].min()) > 2.0  # nothing on the way to the origin
