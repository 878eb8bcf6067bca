"""A voxel field without the cells that lie outside of a box."""

from __future__ import annotations

from dataclasses import replace

import torch

from models.cropped import Inside

from .field import VoxelField

_AT_ONCE = 1 << 18


@torch.no_grad()
def crop_field(field: VoxelField, inside: Inside) -> VoxelField:
    """A field of the cells whose middles are inside, in front of the scene's background.

    The fitted background harmonics stood for what is cut away.
    """
    grid = field.grid
    kept = torch.zeros_like(grid.mask)
    numbers, places = grid.cells.split(_AT_ONCE), grid.indices().split(_AT_ONCE)
    for cells, place in zip(numbers, places, strict=True):
        kept.view(-1)[cells] = inside(grid.lattice.points(place.float() + 0.5))
    return field.part(kept, replace(field.recipe, known_background=True))
