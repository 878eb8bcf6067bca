"""How a voxel field gets finer: which cells are kept, and when they are divided."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from datasets.rays import Rays
from datasets.region import Region

from ..occupancy import dilate
from ..parallel import parallel, parts_for
from ..space import Lattice
from .grid import VoxelGrid
from .integral import Randomness, integrate

if TYPE_CHECKING:
    from .field import VoxelField


@dataclass(frozen=True)
class Stage:
    """A resolution, and how long it lasts.

    Args:
        coarseness: edge of its cells, in those of the last stage.
        steps: it lasts so many at least,
        until: and to this share of the training.
        samples: per step; the number of rays follows from it.
    """

    coarseness: float
    steps: int
    until: float
    samples: int


STAGES = (
    Stage(6.4, 250, 0.005, 12288),
    Stage(3.2, 450, 0.02, 16384),
    Stage(1.6, 1000, 0.2, 32768),
    Stage(1.0, 2000, 0.6, 49152),
)
# A cell is kept if a ray gave it, or a neighbour, more than this share of its colour.
_SEEN = 0.03
_LOOKS = 150_000  # rays that look for cells
_AT_ONCE = 8192


class Growth:
    """Moves a field from stage to stage; its buffer `stage` holds the number and first step."""

    def next_grid(
        self, field: VoxelField, progress: float, step: int, draw: Callable[[int], Rays]
    ) -> VoxelGrid | None:
        """The grid to go on with, where it is time for another one."""
        number, since = field.stage.tolist()
        stage = STAGES[min(number, len(STAGES) - 1)]
        if number >= len(STAGES) or step - since < stage.steps or progress < stage.until:
            return None
        field.stage.copy_(torch.tensor([number + 1, step]))
        # After the last stage, the cells are looked through once more.
        kept = seen_cells(field, draw)
        following = STAGES[min(number + 1, len(STAGES) - 1)]
        return divided(
            field.grid, kept, edges(field.region, field.resolution / following.coarseness)
        )


def samples_per_step(field: VoxelField) -> int:
    return STAGES[min(int(field.stage[0]), len(STAGES) - 1)].samples


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
        math.ceil((h - l) / e - 1e-6) + 2 for l, h, e in zip(low, high, edge, strict=True)
    )
    x, y, z = (l - e for l, e in zip(low, edge, strict=True))
    return Lattice(region, (x, y, z), edge, (nx, ny, nz))


def seen_cells(field: VoxelField, draw: Callable[[int], Rays]) -> Tensor:
    """The mask (x, y, z) of cells that random training rays see, and of their neighbours.

    A pass of its own, rather than what the training steps happened to visit.
    """
    grid = field.grid
    density, features = field.density_table.detach(), field.feature_table.detach()
    highest = torch.zeros(len(grid), device=density.device)

    def look(rays: Rays) -> Tensor:
        jitter = torch.full((len(rays),), 0.5, device=density.device)
        found = integrate(grid, density, features, rays, Randomness(jitter, 0))
        weight = torch.zeros_like(highest)
        return weight.scatter_reduce_(0, found.samples.cell.long(), found.weight, "amax")

    for _ in range(0, _LOOKS, _AT_ONCE):
        rays = draw(_AT_ONCE)
        size = -(-_AT_ONCE // parts_for(density.device))
        for weight in parallel(look, [rays[i : i + size] for i in range(0, _AT_ONCE, size)]):
            highest = torch.maximum(highest, weight)
    mask = torch.zeros_like(grid.mask)
    mask.view(-1)[grid.cells[highest > _SEEN]] = True
    return dilate(mask) & grid.mask


def divided(grid: VoxelGrid, kept: Tensor, edge: tuple[float, float, float]) -> VoxelGrid:
    """Cells of another edge where the kept ones are, cropped to them."""
    old = grid.lattice
    index = kept.nonzero()
    if len(index) == 0:
        kept, index = grid.mask, grid.mask.nonzero()
    first, last = index.amin(dim=0).tolist(), index.amax(dim=0).tolist()
    low = tuple(l + i * e for l, i, e in zip(old.low, first, old.edge, strict=True))
    high = tuple(l + (i + 1) * e for l, i, e in zip(old.low, last, old.edge, strict=True))
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
