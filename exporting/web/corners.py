"""A voxel field's two lattices merged into one: values at the corners of its cells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.voxels.field import VoxelField
from models.voxels.grid import VoxelGrid
from models.voxels.integral.kernels import trilinear

_CORNERS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Corners:
    """Occupied cells, and what the field has at their corners.

    Attributes:
        grid: the cells; its finest level lists the corners.
        density: before its activation, (corner,).
        features: (corner, channel).
    """

    grid: VoxelGrid
    density: Float[Tensor, "corner"]
    features: Float[Tensor, "corner channel"]


@torch.no_grad()
def merged_corners(field: VoxelField, mask: Bool[Tensor, "x y z"] | None = None) -> Corners:
    """The field's values at the corners of its cells, both lattices together.

    Exact: every cell lies in one cell of the coarse lattice, in which the coarse values are
    trilinear; within the fine cell they are the trilinear function of their values at its corners.

    Args:
        mask: the cells to keep; by default all.
    """
    whole, device = field.grid, field.density_table.device
    grid = whole if mask is None else VoxelGrid(whole.lattice, mask & whole.mask)
    rows = None if mask is None else whole.rows_of(grid)
    tables = [
        table.detach() if rows is None else table.detach()[rows]
        for table in (field.density_table, field.feature_table)
    ]
    # Of each corner, one of its cells and which corner it is there.
    count = len(grid.levels[0].corners)
    owner = torch.zeros(count, dtype=torch.long, device=device)
    cells = torch.arange(len(grid), device=device)
    for corner in range(8):
        owner[grid.rows[:, corner].long()] = 8 * cells + corner
    values = [table[:count].clone() for table in tables]
    for begin in range(0, count, _CORNERS_AT_ONCE):
        some = owner[begin : begin + _CORNERS_AT_ONCE]
        cell, which = some // 8, some % 8
        offset = torch.stack([which // 4, which // 2 % 2, which % 2]).to(tables[0].dtype)
        weights = trilinear(grid.coarse_offset.index_select(1, cell) + offset / 4)
        for index in range(8):
            row = grid.rows[cell, 8 + index].long()
            for merged, table in zip(values, tables, strict=True):
                merged[begin : begin + len(some)] += weights[index, :, None] * table[row]
    return Corners(grid, values[0][:, 0], values[1])


def field_of(field: VoxelField, corners: Corners) -> VoxelField:
    """A voxel field that has the corners' values, and nothing on its coarse lattice.

    It renders what a page made of them does, but for the rounding of graphics hardware.
    """
    rest = corners.grid.size - len(corners.density)
    state = dict(field.state_dict())
    state["cells"] = corners.grid.cells.int()
    state["density_table"] = torch.nn.functional.pad(corners.density[:, None], (0, 0, 0, rest))
    state["feature_table"] = torch.nn.functional.pad(corners.features, (0, 0, 0, rest))
    channels, hidden = corners.features.shape[1], len(state["shader.network.0.bias"])
    twin = VoxelField(field.region, field.resolution, field.recipe, channels, hidden)
    twin.load_state_dict(state)
    return twin.to(field.density_table.device).eval()
