"""The occupied cells of a lattice, and the samples of rays within them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor

from models.grids.lattice import Lattice, unravel
from models.grids.samples import RaySamples
from models.grids.traversal import BLOCK, GridRays, flat_index, s_to_t, traverse


class OccupiedCells:
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
        return torch.stack(unravel(self.cells, self.mask.shape), dim=1)

    def locate(
        self, place: Float[Tensor, "point 3"]
    ) -> tuple[Int32[Tensor, "point"], Float[Tensor, "3 point"]]:
        """The occupied cell of each place in grid coordinates (-1: none), and where in it."""
        dims = list(self.mask.shape)
        inside = ((place >= 0) & (place < place.new_tensor(dims))).all(dim=1)
        number = self.number[flat_index(place.t(), dims).long()].masked_fill(~inside, -1)
        return number, place.t().frac()

    @torch.no_grad()
    def sample(
        self,
        grid_rays: GridRays,
        jitter: Float[Tensor, "ray"] | None = None,
        step: float = 1.0,
    ) -> RaySamples:
        """The samples of rays that lie in occupied cells, before the rays' ends.

        Args:
            grid_rays: the rays in grid coordinates.
            jitter: where in its step each ray's samples are, from 0 to 1; by default the middle.
            step: between samples, in cells; at most 1.
        """
        if jitter is None:
            jitter = torch.full_like(grid_rays.start, 0.5)
        ray_indices, s, cell, within, starts = traverse(
            grid_rays,
            jitter,
            self.blocks,
            self.block_dims,
            self.number,
            list(self.mask.shape),
            step,
        )
        half = 0.5 * step
        t, ahead, behind = (s_to_t(grid_rays, ray_indices, at) for at in (s, s + half, s - half))
        return RaySamples(ray_indices, t, ahead - behind, s, cell, within, starts)


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
