"""The corners of occupied cells, on a fine lattice and on coarser ones that are added to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models.grids.cells import OccupiedCells
from models.grids.lattice import Lattice, unravel
from models.voxels.integral.kernels import SPACINGS, corner_weights, trilinear

_CORNERS_AT_ONCE = 1 << 17
_CORNERS = tuple((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1))


@dataclass(frozen=True)
class Level:
    """One lattice of corners.

    Attributes:
        spacing: in cells.
        dims: corners along x, y and z.
        corners: positions, in the flattened lattice, of those that an occupied cell needs.
        first: their place in the table.
    """

    spacing: int
    dims: tuple[int, int, int]
    corners: Int[Tensor, "corner"]
    first: int


class VoxelGrid(OccupiedCells):
    """Occupied cells, and the rows of a table that hold their corners' values.

    Attributes:
        rows: (cell, 8 corners of each level) int32.
        coarse_offset: (3, cell) where a cell lies in its coarse cell, from 0 to 3/4.
        size: rows of the table.
    """

    def __init__(self, lattice: Lattice, mask: Bool[Tensor, "x y z"]) -> None:
        super().__init__(lattice, mask)
        index = self.indices()
        self.levels: list[Level] = []
        self.size = 0
        rows = []
        for spacing in SPACINGS:
            nx, ny, nz = (-(-n // spacing) + 1 for n in lattice.dims)
            coarse = torch.div(index, spacing, rounding_mode="floor")
            base = (coarse[:, 0] * ny + coarse[:, 1]) * nz + coarse[:, 2]
            steps = base.new_tensor([(i * ny + j) * nz + k for i, j, k in _CORNERS])
            positions = base[:, None] + steps
            number = torch.zeros(nx * ny * nz, dtype=torch.int32, device=base.device)
            number[positions.view(-1)] = 1
            corners = number.nonzero().squeeze(1)
            number[corners] = torch.arange(
                self.size, self.size + len(corners), dtype=torch.int32, device=base.device
            )
            rows.append(number[positions])
            self.levels.append(Level(spacing, (nx, ny, nz), corners, self.size))
            self.size += len(corners)
            self.coarse_offset = (index - coarse * spacing).t().float().contiguous() / spacing
        self.rows = torch.cat(rows, dim=1).contiguous()

    def corner_coordinates(self) -> Float[Tensor, "corner 3"]:
        """Grid coordinates of the finest level's corners."""
        level = self.levels[0]
        return torch.stack(unravel(level.corners, level.dims), dim=1).float()

    def weights(
        self, cell: Int[Tensor, "sample"], within: Float[Tensor, "3 sample"]
    ) -> Float[Tensor, "sample corner"]:
        """Trilinear weights of all lattices' corners for places within cells."""
        return corner_weights(self.coarse_offset, cell, within)

    @cached_property
    def neighbours(self) -> Int[Tensor, "6 corner"]:
        """Rows of the six neighbours of the finest corners; a corner's own where it has none."""
        level = self.levels[0]
        nx, ny, nz = level.dims
        number = torch.full((nx * ny * nz,), -1, dtype=torch.int32, device=self.rows.device)
        own = torch.arange(len(level.corners), dtype=torch.int32, device=self.rows.device)
        number[level.corners] = own
        i, j, k = unravel(level.corners, level.dims)
        rows = []
        for place, count, step in ((i, nx, ny * nz), (j, ny, nz), (k, nz, 1)):
            for inside, offset in ((place > 0, -step), (place < count - 1, step)):
                row = number[torch.where(inside, level.corners + offset, level.corners)]
                rows.append(torch.where(row < 0, own, row))
        return torch.stack(rows)

    def rows_of(self, part: VoxelGrid) -> Int[Tensor, "row"]:
        """The rows of this grid's tables that those of a part of its cells are."""
        rows = []
        for mine, theirs in zip(self.levels, part.levels, strict=True):
            rows.append(mine.first + torch.searchsorted(mine.corners, theirs.corners))
        return torch.cat(rows)

    def resample(self, tables: list[Tensor], empty: list[float], to: VoxelGrid) -> list[Tensor]:
        """What the tables (row, channel) hold at the finest corners of another grid.

        Args:
            empty: what corners count that this grid does not have, for each table.
        """
        cube = to.corner_coordinates() * self.rows.new_tensor(
            to.lattice.edge, dtype=torch.float32
        ) + self.rows.new_tensor(to.lattice.low, dtype=torch.float32)
        low, edge = (cube.new_tensor(v) for v in (self.lattice.low, self.lattice.edge))
        results = [cube.new_zeros(to.size, table.shape[1]) for table in tables]
        for level in self.levels:
            dims = torch.tensor(level.dims, device=cube.device)
            number = torch.full(
                (int(dims.prod()),), self.size, dtype=torch.int32, device=cube.device
            )
            number[level.corners] = torch.arange(
                level.first,
                level.first + len(level.corners),
                dtype=torch.int32,
                device=cube.device,
            )
            fill = 1.0 if level.spacing == 1 else 0.0
            padded = [
                torch.cat([table, table.new_full((1, table.shape[1]), fill * value)])
                for table, value in zip(tables, empty, strict=True)
            ]
            for begin in range(0, len(cube), _CORNERS_AT_ONCE):
                part = slice(begin, begin + _CORNERS_AT_ONCE)
                place = (cube[part] - low) / (edge * level.spacing)
                place = torch.minimum(place.clamp_min(0), dims - 1.001)
                base = place.long()
                weights = trilinear((place - base).t())
                for corner, offset in enumerate(_CORNERS):
                    i, j, k = (base + base.new_tensor(offset)).unbind(1)
                    row = number[(i * dims[1] + j) * dims[2] + k]
                    for result, table in zip(results, padded, strict=True):
                        result[begin : begin + len(place)].add_(
                            weights[corner, :, None] * table[row]
                        )
        return results
