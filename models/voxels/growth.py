"""How a voxel field gets finer: which cells are kept, and when they are divided."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geometry.rays import Rays
from geometry.region import Region
from models.grids.cells import dilate
from models.grids.lattice import Lattice
from models.grids.traversal import GridRays, select_rays
from models.parallel import parallel, split_for_device

from .grid import VoxelGrid
from .integral.autograd import MarchConfig
from .integral.march import march_grid
from .recipe import Recipe

# Within a stage, cells are pruned after so many steps, and once more after twice as many. Never in
# the first one, before it is clear what is solid; and no oftener, as what comes and goes over
# thousands of steps would all be lost in the end.
_FIRST_PRUNING, _LAST_PRUNING = 400, 800
# Nor where so much of the training is over: a pruning takes as long as hundreds of steps.
_LATE = 0.9
# So many rays find the visible cells, and at least so many for each cell that there is: fewer miss
# cells that few photos show, behind other things, and leave holes there for good.
PRUNE_RAYS, PRUNE_RAYS_PER_CELL = 150_000, 0.5
_RAYS_AT_ONCE = 8192
# With their corners' values and moments, they take some 1.5 GB while they are divided.
_MOST_CELLS = 3_000_000


def next_grid(
    stage: Tensor,
    recipe: Recipe,
    resolution: int,
    grid: VoxelGrid,
    progress: float,
    step: int,
    find_visible: Callable[[], Bool[Tensor, "x y z"]],
) -> VoxelGrid | None:
    """The grid to go on with, where it is time for another one.

    Args:
        stage: number of the stage, its first step, and after how many steps of it cells are
            pruned again; changed in place.
        resolution: cells along the region's longest side in the last stage.
        grid: the one that is trained now.
        progress: share of the training that is done.
        step: steps done.
        find_visible: gives the cells to keep.
    """
    number, since, prune_after = stage.tolist()
    since = min(since, step)  # weights may start another training
    stages = recipe.stages
    now, last = stages[number], number == len(stages) - 1
    if not last and step - since >= now.steps and progress >= now.until:
        stage.copy_(torch.tensor([number + 1, step, _FIRST_PRUNING]))
        edge = edges(grid.lattice.region, resolution / stages[number + 1].coarseness)
        kept = find_visible()
        return divided(grid, kept, bounded(edge, grid.lattice, int(kept.sum())))
    due = number > 0 and prune_after <= _LAST_PRUNING and step - since >= prune_after
    if due and progress < _LATE:
        stage[2] = 2 * prune_after
        return VoxelGrid(grid.lattice, find_visible())
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
    return x, y, z * region.z_anisotropy


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


def visible_cells(
    grid: VoxelGrid,
    density: Float[Tensor, "row 1"],
    features: Float[Tensor, "row channel"],
    recipe: Recipe,
    draw: Callable[[int], Rays],
) -> Bool[Tensor, "x y z"]:
    """The cells that random training rays see, and their neighbours.

    A pass of its own, rather than what the training steps happened to visit.

    Args:
        draw: that many rays of random training pixels.
    """
    highest = torch.zeros(len(grid), device=density.device)
    config = MarchConfig(weight_threshold=2.0)  # above any weight: no features
    threshold = recipe.prune_threshold

    def largest_weights(grid_rays: GridRays) -> Tensor:
        largest = torch.zeros_like(highest)
        for _, transmittance, part in march_grid(
            grid, density, features, grid_rays, config, threshold
        ):
            weight = part.weight * transmittance[part.ray]
            largest.scatter_reduce_(0, part.cell.long(), weight, "amax")
        return largest

    for _ in range(0, max(PRUNE_RAYS, int(PRUNE_RAYS_PER_CELL * len(grid))), _RAYS_AT_ONCE):
        grid_rays = grid.lattice.grid_rays(draw(_RAYS_AT_ONCE))
        slices = split_for_device(_RAYS_AT_ONCE, density.device)
        for largest in parallel(largest_weights, [select_rays(grid_rays, s) for s in slices]):
            highest = torch.maximum(highest, largest)
    mask = torch.zeros_like(grid.mask)
    mask.view(-1)[grid.cells[highest > threshold]] = True
    # Where nothing is visible yet, everything is kept: what is pruned never comes back.
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
