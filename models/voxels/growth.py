"""How a voxel field gets finer: which cells are kept, and when they are divided."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from datasets.rays import Rays
from datasets.region import Region

from ..occupancy import dilate
from ..parallel import parallel, shares
from ..space import Lattice
from ..walk import Walk, of_rays
from .grid import VoxelGrid
from .integral import Sampling
from .picture import stretches

if TYPE_CHECKING:
    from .field import VoxelField


# Within a stage, cells are left out after so many steps, and once more after twice as many. Never
# in the first one, before it is clear what is solid; and no oftener, as what comes and goes over
# thousands of steps would all be lost in the end: lego fell by 1 dB in ten minutes so.
_FIRST_LOOK, _LAST_LOOK = 400, 800
# Nor where so much of the training is over: a look takes as long as hundreds of steps.
_LATE = 0.9
# So many rays look for cells, and at least so many for each that there is: fewer miss cells that
# few photos show, behind other things, and leave holes there for good. The demo's scene at 400x400,
# with 1.6 million cells, had 32.5 dB after 200 s, with 150,000 rays 29.7 dB.
_LOOKS, _LOOKS_PER_CELL = 150_000, 0.5
_AT_ONCE = 8192
# With their corners' values and moments, they take some 1.5 GB while they are divided.
_MOST_CELLS = 3_000_000


def next_grid(
    field: VoxelField, progress: float, step: int, draw: Callable[[int], Rays]
) -> VoxelGrid | None:
    """The grid to go on with, where it is time for another one.

    The field's buffer `stage` holds the number of the stage, its first step, and after how many
    steps cells are looked through again.
    """
    number, since, look_after = field.stage.tolist()
    since = min(since, step)  # weights may start another training
    stages = field.recipe.stages
    stage, last = stages[number], number == len(stages) - 1
    if not last and step - since >= stage.steps and progress >= stage.until:
        field.stage.copy_(torch.tensor([number + 1, step, _FIRST_LOOK]))
        edge = edges(field.region, field.resolution / stages[number + 1].coarseness)
        kept = seen_cells(field, draw)
        return divided(field.grid, kept, bounded(edge, field.grid.lattice, int(kept.sum())))
    due = number > 0 and look_after <= _LAST_LOOK and step - since >= look_after
    if due and progress < _LATE:
        field.stage[2] = 2 * look_after
        return VoxelGrid(field.grid.lattice, seen_cells(field, draw))
    return None


def bounded(
    edge: tuple[float, float, float], old: Lattice, kept: int
) -> tuple[float, float, float]:
    """The edge, or a longer one where dividing so many cells of a lattice would take too much."""
    x, y, z = edge
    cells = kept * old.edge[0] * old.edge[1] * old.edge[2] / (x * y * z)
    factor = max(1.0, cells / _MOST_CELLS) ** (1 / 3)
    return x * factor, y * factor, z * factor


def edges(region: Region, cells: float) -> tuple[float, float, float]:
    """Edge of cells, in the region's cube, with so many along its longest side."""
    longest = max(region.half)
    x, y, z = (2 * longest / half / cells for half in region.half)
    return x, y, z * region.flat


def first_grid(region: Region, cells: float) -> VoxelGrid:
    """All cells of the region, before anything is known."""
    lattice = bordered(region, (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), edges(region, cells))
    mask = torch.zeros(lattice.dims, dtype=torch.bool)
    mask[1:-1, 1:-1, 1:-1] = True
    return VoxelGrid(lattice, mask)


def bordered(
    region: Region,
    low: tuple[float, ...],
    high: tuple[float, ...],
    edge: tuple[float, float, float],
) -> Lattice:
    """Cells from low to high (in the region's cube), within a border that is never occupied.

    The border is where places outside the lattice are looked up.
    """
    nx, ny, nz = (
        math.ceil((end - start) / side - 1e-6) + 2
        for start, end, side in zip(low, high, edge, strict=True)
    )
    x, y, z = (start - side for start, side in zip(low, edge, strict=True))
    return Lattice(region, (x, y, z), edge, (nx, ny, nz))


def seen_cells(field: VoxelField, draw: Callable[[int], Rays]) -> Tensor:
    """The mask (x, y, z) of cells that random training rays see, and of their neighbours.

    A pass of its own, rather than what the training steps happened to visit.
    """
    grid = field.grid
    density, features = field.density_table.detach(), field.feature_table.detach()
    highest = torch.zeros(len(grid), device=density.device)

    how, seen = Sampling(faintest=2.0), field.recipe.seen  # no features

    def brightest(walk: Walk) -> Tensor:
        weight = torch.zeros_like(highest)
        for _, light, found in stretches(grid, density, features, walk, how, seen):
            share = found.weight * light[found.ray]
            weight.scatter_reduce_(0, found.cell.long(), share, "amax")
        return weight

    for _ in range(0, max(_LOOKS, int(_LOOKS_PER_CELL * len(grid))), _AT_ONCE):
        walk = grid.lattice.walk(draw(_AT_ONCE))
        parts = [of_rays(walk, part) for part in shares(_AT_ONCE, density.device)]
        for weight in parallel(brightest, parts):
            highest = torch.maximum(highest, weight)
    mask = torch.zeros_like(grid.mask)
    mask.view(-1)[grid.cells[highest > seen]] = True
    # Where nothing is seen yet, everything is kept: what is left out never comes back.
    return dilate(mask) & grid.mask if bool(mask.any()) else grid.mask


def divided(grid: VoxelGrid, kept: Tensor, edge: tuple[float, float, float]) -> VoxelGrid:
    """Cells of another edge where the kept ones are, cropped to them."""
    old = grid.lattice
    index = kept.nonzero()
    first, last = index.amin(dim=0).tolist(), index.amax(dim=0).tolist()
    low = tuple(a + i * side for a, i, side in zip(old.low, first, old.edge, strict=True))
    high = tuple(a + (i + 1) * side for a, i, side in zip(old.low, last, old.edge, strict=True))
    lattice = bordered(old.region, low, high, edge)
    mask = kept
    for axis in range(3):
        # The old cell that holds each new cell's centre; the border is none of them.
        centre = (torch.arange(lattice.dims[axis], device=kept.device) + 0.5) * edge[axis]
        place = (centre + lattice.low[axis] - old.low[axis]) / old.edge[axis]
        mask = mask.index_select(axis, place.long().clamp(0, old.dims[axis] - 1))
        mask.select(axis, 0).fill_(False)
        mask.select(axis, lattice.dims[axis] - 1).fill_(False)
    return VoxelGrid(lattice, mask)
