"""Where there is something: an occupancy grid, and the samples of rays within it.

Samples are packed: those of all rays one after the other, as each ray has its own number.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor

from .space import Lattice
from .walk import BLOCK, Walk, flat_index, march


class Samples(NamedTuple):
    """Places on rays, packed in the order of the rays and along each.

    Attributes:
        ray: (sample,) the ray of each.
        s: (sample,) its place on the ray, in cells walked.
        cell: (sample,) the number of the occupied cell it lies in, int32.
        within: (3, sample) its place in the cell, from 0 to 1.
        starts: (ray + 1,) first sample of each ray, and the number of all.
    """

    ray: Tensor
    s: Tensor
    cell: Tensor
    within: Tensor
    starts: Tensor


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
        self.block_dims = list(reached.shape)
        self.blocks = reached.reshape(-1).contiguous()

    def __len__(self) -> int:
        return len(self.cells)

    def indices(self) -> Int[Tensor, "occupied 3"]:
        """The cells' indices along x, y and z."""
        return torch.stack(torch.unravel_index(self.cells, self.mask.shape), dim=1)

    def locate(
        self, place: Float[Tensor, "point 3"]
    ) -> tuple[Int32[Tensor, "point"], Float[Tensor, "3 point"]]:
        """The occupied cell of each place in grid coordinates (-1: none), and where in it."""
        dims = list(self.mask.shape)
        inside = ((place >= 0) & (place < place.new_tensor(dims))).all(dim=1)
        number = self.number[flat_index(place.t(), dims).long()].masked_fill(~inside, -1)
        return number, place.t().frac()

    @torch.no_grad()
    def march(
        self, walk: Walk, jitter: Float[Tensor, "ray"] | None = None, step: float = 1.0
    ) -> Samples:
        """The samples of rays that lie in occupied cells, before the rays' ends.

        Args:
            walk: the rays.
            jitter: where in its step each ray's samples are, from 0 to 1; by default the middle.
            step: between samples, in cells; at most 1.
        """
        if jitter is None:
            jitter = torch.full_like(walk.start, 0.5)
        dims = list(self.mask.shape)
        return Samples(*march(walk, jitter, self.blocks, self.block_dims, self.number, dims, step))


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
