"""A voxel field's tables merged for inference: both lattices in one, once for all pictures of the
same values."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary, ref

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from models.grids.cells import dilate
from models.grids.lattice import unravel
from models.parallel import n_parts, parallel
from models.voxels.grid import VoxelGrid

from .inference import MergedGrid, transposed
from .kernels import DENSITY_SHIFT, trilinear

# Leaps are exact to a cell up to so many, and to two cells up to twice as many of these.
_NEAR, _FAR = 4, 24
# Minus the density of what is empty: e^-20 of the light stays there.
_CLEAR = 20.0
_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class _Entry:
    """A merged grid, and the tables that it is of: their identity, memory and version."""

    tables: tuple[tuple[ref[Tensor], int, int], ...]
    merged: MergedGrid

    def is_of(self, tables: tuple[Tensor, ...]) -> bool:
        return all(
            kept() is table and (where, version) == (table.data_ptr(), _version(table))
            for (kept, where, version), table in zip(self.tables, tables, strict=True)
        )


class MergedCache:
    """Keeps what was last merged of each grid, while the grid exists and its tables are unchanged.

    A tensor's version counts what is written to it, though not what is written to its `data`.
    """

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[VoxelGrid, _Entry] = WeakKeyDictionary()

    def __call__(self, grid: VoxelGrid, density: Tensor, features: Tensor) -> MergedGrid:
        """The grid and its tables (row, 1) and (row, channel), merged."""
        tables = (density, features)
        kept = self._kept.get(grid)
        if kept is None or not kept.is_of(tables):
            self.forget(grid)  # before as much is needed once more
            with torch.inference_mode(False), torch.no_grad():
                now = merge(grid, density.detach(), features.detach())
            of = tuple((ref(table), table.data_ptr(), _version(table)) for table in tables)
            kept = self._kept[grid] = _Entry(of, now)
        return kept.merged

    def forget(self, grid: VoxelGrid) -> None:
        """Let go of the memory."""
        self._kept.pop(grid, None)


def _version(table: Tensor) -> int:
    return 0 if table.is_inference() else table._version


merged = MergedCache()


def merge(grid: VoxelGrid, density: Tensor, features: Tensor) -> MergedGrid:
    """A grid and its tables (row, 1) and (row, channel) as `march_inference` takes them."""
    density, features = merge_lattices(grid, density, features)
    corners = grid.rows[:, :8]
    clear = density.add_(DENSITY_SHIFT).neg_().squeeze(1)
    clear = clear.index_select(0, corners.reshape(-1)).view(-1, 8)
    number = torch.where(grid.number < 0, len(grid), grid.number)
    clear = F.pad(clear, (0, 0, 0, 1), value=_CLEAR)
    return MergedGrid(clear, features, corners, number, empty_distance(grid.mask).view(-1))


def merge_lattices(
    grid: VoxelGrid, *tables: Float[Tensor, "row _"]
) -> list[Float[Tensor, "corner _"]]:
    """What both lattices hold at the corners of the fine one. Between these the coarse one is
    trilinear too, so that nothing is lost."""
    fine, coarse = grid.levels
    totals = [table[: len(fine.corners)].clone() for table in tables]
    nx, ny, nz = coarse.dims
    number = torch.zeros(nx * ny * nz, dtype=torch.int32, device=fine.corners.device)
    rows = torch.arange(len(coarse.corners), dtype=torch.int32, device=number.device)
    number[coarse.corners] = rows

    def add(part: slice) -> None:
        place = torch.stack(unravel(fine.corners[part], fine.dims))
        base = torch.div(place, coarse.spacing, rounding_mode="floor")
        within = (place - base * coarse.spacing).float() / coarse.spacing
        # A corner that is missing, beyond what is occupied, has no weight.
        i, j, k = (
            (at, (at + 1).clamp_(max=n - 1)) for at, n in zip(base, coarse.dims, strict=True)
        )
        rows = [number[(x * ny + y) * nz + z] for x in i for y in j for z in k]
        corners, weights = torch.stack(rows, dim=1), transposed(trilinear(within))
        for table, total in zip(tables, totals, strict=True):
            values = table[coarse.first :]
            total[part] += F.embedding_bag(
                corners, values, mode="sum", per_sample_weights=weights.to(values.dtype)
            )

    count = len(fine.corners)
    parts = [slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE)]
    for some in range(0, len(parts), n_parts(number.device)):
        parallel(add, parts[some : some + n_parts(number.device)])
    return totals


def empty_distance(mask: Bool[Tensor, "x y z"]) -> UInt8[Tensor, "x y z"]:
    """How many cells on from anywhere in a cell nothing is occupied, in the maximum norm; no more
    than that, and at most 2 * _FAR."""
    nx, ny, nz = mask.shape
    padded = F.pad(mask, (0, nz % 2, 0, ny % 2, 0, nx % 2))
    halves = padded.unfold(0, 2, 2).unfold(1, 2, 2).unfold(2, 2, 2).flatten(3).any(dim=-1)
    far = _free(halves, _FAR).mul_(2)
    for axis in range(3):
        far = far.repeat_interleave(2, dim=axis).narrow(axis, 0, mask.shape[axis])
    return torch.maximum(far, _free(mask, _NEAR))


def _free(mask: Bool[Tensor, "x y z"], most: int) -> UInt8[Tensor, "x y z"]:
    free = torch.zeros(mask.shape, dtype=torch.uint8, device=mask.device)
    for _ in range(most):
        mask = dilate(mask)
        free.add_(mask.logical_not())
    return free
