"""A voxel field's two lattices merged into one: values at the corners of its cells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.voxels.field import VoxelField
from models.voxels.grid import VoxelGrid
from models.voxels.integral.merged import merge_lattices


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

    Args:
        mask: the cells to keep; by default all.
    """
    grid = field.grid
    values = merge_lattices(grid, field.density_table.detach(), field.feature_table.detach())
    if mask is not None:
        part = VoxelGrid(grid.lattice, mask & grid.mask)
        rows = grid.rows_of(part)[: len(part.levels[0].corners)]
        grid, values = part, [value[rows] for value in values]
    return Corners(grid, values[0].squeeze(1), values[1])


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
