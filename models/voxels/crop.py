"""A voxel field without the cells that lie outside of a box."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from models.cropped import Inside
from models.grids.lattice import unravel
from models.parallel import parallel

from .field import VoxelField
from .grid import VoxelGrid
from .integral.merged import merged
from .picture import QuickRenderer

_AT_ONCE = 1 << 17


@torch.no_grad()
def crop_field(field: VoxelField, inside: Inside) -> VoxelField:
    """A field of the cells whose middles are inside, in front of the scene's background.

    The fitted background harmonics stood for what is cut away.
    """
    kept = torch.zeros_like(field.grid.mask)
    kept.view(-1)[field.grid.cells] = cells_inside(field.grid, inside)
    return field.part(kept, replace(field.recipe, known_background=True))


@torch.no_grad()
def crop_pictures(renderer: QuickRenderer, inside: Inside) -> QuickRenderer:
    """Renders what a quick renderer of the cropped field would, and is made several times as soon:
    the tables are those of the whole field, in which the cells outside count as empty."""
    grid, field = renderer.field.grid, renderer.field
    tables = merged(grid, field.density_table, field.feature_table)
    number = tables.number.clone()
    number[grid.cells[~cells_inside(grid, inside)]] = len(grid)
    return replace(renderer, cropped=tables._replace(number=number))


def cells_inside(grid: VoxelGrid, inside: Inside) -> Bool[Tensor, "occupied"]:
    """Whether the middle of each occupied cell is inside."""

    def look(part: Tensor) -> Tensor:
        place = torch.stack(unravel(part, grid.lattice.dims), dim=1)
        return inside(grid.lattice.points(place.float() + 0.5))

    return torch.cat(parallel(look, grid.cells.split(_AT_ONCE)))
