"""Where there is something: an occupancy grid, and the samples of rays within it.

Samples are packed: those of all rays one after the other, as each ray has its own number.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor

from .space import Axes, Lattice, Walk

# Samples a cell apart are tested this many at once, against blocks of BLOCK^3 cells: most of
# space is left out by few lookups.
SEGMENT = 8
BLOCK = 4


@dataclass(frozen=True)
class Samples:
    """Places on rays, packed in the order of the rays and along each.

    Attributes:
        ray: the ray of each sample.
        s: its place on the ray, in cells walked.
        cell: the number of the occupied cell it lies in.
        within: its place in the cell, from 0 to 1, along x, y and z.
        starts: first sample of each ray; one entry more at the end.
    """

    ray: Int[Tensor, "sample"]
    s: Float[Tensor, "sample"]
    cell: Int32[Tensor, "sample"]
    within: Axes
    starts: Int[Tensor, "ray+1"]

    def __len__(self) -> int:
        return len(self.ray)


class Occupancy:
    """Which cells of a lattice are occupied.

    Args:
        lattice: the cells.
        mask: True for the occupied ones.

    Attributes:
        cells: (occupied,) their positions in the flattened lattice.
        number: (cell,) the place of a cell among the occupied ones; -1 for the others.
    """

    def __init__(self, lattice: Lattice, mask: Bool[Tensor, "x y z"]) -> None:
        self.lattice, self.mask = lattice, mask
        self.cells = mask.reshape(-1).nonzero().squeeze(1)
        self.number = torch.full((mask.numel(),), -1, dtype=torch.int32, device=mask.device)
        self.number[self.cells] = torch.arange(
            len(self.cells), dtype=torch.int32, device=mask.device
        )
        # A segment is tested at its middle, and reaches one block further at most.
        nx, ny, nz = mask.shape
        padded = F.pad(mask, (0, -nz % BLOCK, 0, -ny % BLOCK, 0, -nx % BLOCK))
        blocks = padded.unfold(0, BLOCK, BLOCK).unfold(1, BLOCK, BLOCK).unfold(2, BLOCK, BLOCK)
        reached = dilate(blocks.flatten(3).any(dim=-1))
        self.block_dims = reached.shape
        self.blocks = reached.reshape(-1).contiguous()

    def __len__(self) -> int:
        return len(self.cells)

    def indices(self) -> Int[Tensor, "occupied 3"]:
        """The cells' indices along x, y and z."""
        return torch.stack(torch.unravel_index(self.cells, self.mask.shape), dim=1)

    def locate(self, place: Float[Tensor, "point 3"]) -> tuple[Int32[Tensor, "point"], Axes]:
        """The occupied cell of each place in grid coordinates (-1: none), and where in it."""
        x, y, z = place.unbind(1)
        flat = self._flat((x, y, z), self.mask.shape)
        inside = ((place >= 0) & (place < place.new_tensor(self.mask.shape))).all(dim=1)
        number = self.number[flat.long()].masked_fill(~inside, -1)
        return number, (x.frac(), y.frac(), z.frac())

    @torch.no_grad()
    def march(self, walk: Walk, jitter: Float[Tensor, "ray"] | None = None) -> Samples:
        """The samples of rays that lie in occupied cells, one cell's length apart.

        Args:
            walk: the rays.
            jitter: where in its step each ray's samples are, from 0 to 1; by default the middle.
        """
        segments = ((walk.end - walk.start) / SEGMENT).ceil().clamp_min_(0)
        count = int(segments.max()) if len(segments) else 0
        steps = torch.arange(count, device=segments.device)
        every = torch.arange(len(segments), device=segments.device)[:, None]
        middle = walk.start[:, None] + (steps + 0.5) * SEGMENT
        block = self._flat(walk.at(every, middle), self.block_dims, 1 / BLOCK)
        reached = self.blocks.index_select(0, block.view(-1))
        reached &= (steps < segments[:, None]).view(-1)
        kept = reached.nonzero().squeeze(1)

        ray = torch.div(kept, max(count, 1), rounding_mode="floor")
        offset = 0.5 if jitter is None else jitter[ray]
        first = walk.start[ray] + (kept - ray * count) * SEGMENT + offset
        s = first[:, None] + torch.arange(SEGMENT, device=first.device)
        axes = walk.at(ray[:, None], s)
        number = self.number.index_select(0, self._flat(axes, self.mask.shape).view(-1))
        inside = (number >= 0).nonzero().squeeze(1)
        ray = ray.index_select(0, torch.div(inside, SEGMENT, rounding_mode="floor"))
        x, y, z = (axis.view(-1).index_select(0, inside).frac_() for axis in axes)
        counts = torch.bincount(ray, minlength=len(segments))
        starts = F.pad(counts.cumsum(0), (1, 0))
        s, number = s.view(-1).index_select(0, inside), number.index_select(0, inside)
        return Samples(ray, s, number, (x, y, z), starts)

    @staticmethod
    def _flat(axes: Axes, dims: tuple[int, ...], scale: float = 1.0) -> Int32[Tensor, "..."]:
        """Cells of places, in the flattened grid; places outside count to a cell at its edge."""
        flat: Tensor | None = None
        for axis, size in zip(axes, dims, strict=True):
            index = (axis * scale if scale != 1.0 else axis).clamp(0, size - 1).int()
            flat = index if flat is None else flat.mul_(size).add_(index)
        assert flat is not None
        return flat


def dilate(mask: Bool[Tensor, "x y z"]) -> Bool[Tensor, "x y z"]:
    """The cells of a mask and all their neighbours."""
    for axis in range(3):
        grown = mask.clone()
        grown.narrow(axis, 1, mask.shape[axis] - 1).logical_or_(
            mask.narrow(axis, 0, mask.shape[axis] - 1)
        )
        grown.narrow(axis, 0, mask.shape[axis] - 1).logical_or_(
            mask.narrow(axis, 1, mask.shape[axis] - 1)
        )
        mask = grown
    return mask
