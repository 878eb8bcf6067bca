"""The bytes of a page hold what the field has."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from exporting.web.corners import field_of, merged_corners
from exporting.web.pack import bricks_of, occupied, pack
from exporting.web.quantise import coarser, dequantised, quantise
from exporting.web.visibility import largest_weights, most_visible
from models.voxels.grid import Level
from tests.exporting.web.fields import ball_field, scene_of

KINDS = pytest.mark.parametrize("kind", ["box", "contracted", "ndc"])


@KINDS
def test_one_lattice_has_what_both_had(kind):
    field = ball_field(kind)
    twin = field_of(field, merged_corners(field))
    x = (torch.rand(4000, 3) * 2 - 1) * torch.tensor(field.region.half)
    x = x * (4 if field.region.unbounded else 1) + torch.tensor(field.region.center)
    for ours, theirs in zip(twin.density(x), field.density(x), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)
    inside = field.density(x)[0] > -3.9
    assert 0.02 < inside.float().mean() < 0.98


def test_cells_that_are_left_out_leave_the_others_alone():
    field = ball_field("box")
    keep = torch.rand(field.grid.mask.shape) < 0.5
    part = merged_corners(field, keep)
    assert torch.equal(part.grid.mask, keep & field.grid.mask)
    twin = field_of(field, part)
    x = field.grid.lattice.points(part.grid.indices()[::5] + 0.3)
    torch.testing.assert_close(twin.density(x)[1], field.density(x)[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("levels", [256, 128, 64])
def test_values_are_half_a_step_off_at_most(levels):
    corners = merged_corners(ball_field("box"))
    codes = coarser(quantise(corners), levels)
    near = dequantised(corners, codes)
    step = (codes.high - codes.low) / 255
    assert ((near.density - corners.density).abs() <= 0.51 * step[0]).all()
    inside = corners.features.clamp(codes.low[1:], codes.high[1:])
    error = (near.features - inside).abs() / step[1:]
    assert (error <= 0.51 * 255 / (levels - 1) + 0.51).all()
    assert all(len(plane.unique()) <= levels for plane in codes.planes[1:])
    assert codes.planes[1:].amin() == 0
    assert codes.planes[1:].amax() == 255


def test_bricks_come_back():
    grid = ball_field("ndc").grid
    bricks = bricks_of(grid.mask)
    x, y, z = grid.mask.shape
    assert torch.equal(occupied(bricks)[:x, :y, :z], grid.mask)
    assert not occupied(bricks)[x:].any()


@pytest.mark.parametrize("levels", [256, 32])
def test_the_bytes_are_laid_out_as_described(levels):
    corners = merged_corners(ball_field("box", 24.0))
    codes, bricks = coarser(quantise(corners), levels), bricks_of(corners.grid.mask)
    level = corners.grid.levels[0]
    cells, values = (zlib.decompress(part) for part in pack(bricks, codes, level))
    n, count = len(bricks.positions), len(corners.density)
    assert len(cells) == n * (4 + 64)
    positions = np.frombuffer(cells, "<u4", n)
    assert (np.diff(positions.astype(int)) > 0).all()
    assert np.array_equal(np.frombuffer(cells[4 * n :], np.uint8).reshape(n, 64), bricks.masks)
    rest = np.frombuffer(values, np.uint8).reshape(9, count)
    assert np.array_equal(_restored(rest, level, levels), codes.numbers().numpy())


def _restored(rest: np.ndarray, level: Level, levels: int) -> np.ndarray:
    """Values corner by corner, each from those that are there already."""
    found = {int(corner): i for i, corner in enumerate(level.corners)}
    planes = np.zeros_like(rest, dtype=int)
    modulo = np.array([256] + [levels] * 8)
    for corner, i in found.items():
        steps = (1, level.dims[2], level.dims[1] * level.dims[2])
        some = [planes[:, found[corner - step]] for step in steps if corner - step in found]
        mean = sum(some) // max(1, len(some))
        planes[:, i] = (rest[:, i] + mean) % modulo
    return planes


def test_what_shows_least_goes_first():
    field, scene = ball_field("contracted"), scene_of("contracted")
    weights = largest_weights(field, scene.cameras, scene.bounds)
    mask = most_visible(field.grid, weights, 0.6)
    share = float(mask.sum() / field.grid.mask.sum())
    assert 0.4 < share <= 0.6
    kept = mask.view(-1)[field.grid.cells]
    assert weights[kept].mean() > 3 * weights[~kept].mean()
