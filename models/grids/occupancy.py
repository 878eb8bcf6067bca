"""Which cells a field fills: of a trained field, or followed while it is trained."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geometry.region import Region
from models.field import Field
from models.grids.cells import OccupiedCells, dilate
from models.grids.lattice import Lattice, unravel
from models.grids.samples import RaySamples
from models.grids.traversal import GridRays

# The search in a trained field begins with cells this many times as long, of which each is asked
# at this many places.
_COARSE, _COARSE_POINTS = 4, 8
_AT_ONCE = 1 << 16
# In training each update looks at one in so many cells.
_TURNS = 16


@torch.no_grad()
def estimate_occupancy(
    field: Field,
    region: Region,
    resolution: int = 128,
    threshold: float = 0.01,
    points: int = 2,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> OccupiedCells:
    """The occupied cells of a trained field, found from coarse to fine.

    Args:
        region: what the cells span.
        resolution: cells along its longest side.
        threshold: a cell is occupied if a step of its length would take more than this share of
            the light. Its neighbours then count as occupied too: they make up for the places
            that nobody asked about.
        points: random places in each fine cell that are asked.
        device: of the field.
    """
    generator = torch.Generator(device).manual_seed(seed)
    fine = Lattice.over(region, resolution)
    scale = _COARSE
    lattice = _coarser(fine, scale)
    mask = torch.ones(lattice.dims, dtype=torch.bool, device=device)
    count = _COARSE_POINTS
    while True:
        cells = mask.reshape(-1).nonzero().squeeze(1)
        opaque = torch.zeros_like(mask).view(-1)
        for _ in range(count):
            for some in cells.split(_AT_ONCE):
                opaque[some] |= _opacity(field, lattice, some, scale, generator) > threshold
        mask = dilate(opaque.view(mask.shape))
        if scale == 1:
            return OccupiedCells(fine, mask)
        scale //= 2
        lattice, count = _coarser(fine, scale), points
        for axis, size in enumerate(lattice.dims):
            mask = mask.repeat_interleave(2, dim=axis).narrow(axis, 0, size)


class OccupancyGrid(nn.Module):
    """Follows where a field that is being trained has density (instant-ngp, section 5.4, E.2).

    Each cell is looked at every 16 * `every` steps, at a random place; what is kept is the
    largest opacity that was found, fading. Until all have been looked at, all are occupied.
    Saved with a checkpoint, so that a resumed training goes on as it would have.

    Args:
        region: what the cells span.
        resolution: cells along its longest side.
        every: steps between updates, of one cell in 16.
        threshold: as in `estimate_occupancy`; less where a field has hardly any density yet.
        decay: what remains of a cell's opacity when it is looked at again.
    """

    opacity: Tensor
    mask: Tensor

    def __init__(
        self,
        region: Region,
        resolution: int = 128,
        every: int = 16,
        threshold: float = 0.01,
        decay: float = 0.5,
    ) -> None:
        super().__init__()
        self.lattice = Lattice.over(region, resolution)
        self.every, self.threshold, self.decay = every, threshold, decay
        dims = self.lattice.dims
        self.register_buffer("opacity", torch.zeros(dims))
        self.register_buffer("mask", torch.ones(dims, dtype=torch.bool))
        self._occupied: OccupiedCells | None = None

    @property
    def occupied(self) -> OccupiedCells:
        """The occupied cells as they are now."""
        if self._occupied is None or self._occupied.mask.device != self.mask.device:
            self._occupied = OccupiedCells(self.lattice, self.mask)
        return self._occupied

    def sample(
        self,
        grid_rays: GridRays,
        jitter: Float[Tensor, "ray"] | None = None,
        step: float = 1.0,
    ) -> RaySamples:
        """The samples of rays in the cells that are occupied now; see OccupiedCells.sample."""
        return self.occupied.sample(grid_rays, jitter, step)

    @torch.no_grad()
    def update(self, field: Field, step: int) -> None:
        """Called before each training step, with the number of steps done."""
        if step % self.every:
            return
        turn = step // self.every
        opacity = self.opacity.view(-1)
        cells = torch.arange(turn % _TURNS, len(opacity), _TURNS, device=opacity.device)
        generator = torch.Generator(opacity.device).manual_seed(step)
        found = torch.cat(
            [_opacity(field, self.lattice, some, 1, generator) for some in cells.split(_AT_ONCE)]
        )
        opacity[cells] = torch.maximum(opacity[cells] * self.decay, found)
        if turn + 1 < _TURNS:
            return
        mask = dilate(self.opacity > self.opacity.mean().clamp(max=self.threshold))
        if not torch.equal(mask, self.mask):
            self.mask, self._occupied = mask, None

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._occupied = None


def _coarser(fine: Lattice, scale: int) -> Lattice:
    """A lattice of cells so many times as long, which may reach beyond the other."""
    edge = tuple(scale * length for length in fine.edge)
    dims = tuple(-(-size // scale) for size in fine.dims)
    return Lattice(fine.region, fine.low, edge, dims)  # type: ignore[arg-type]


def _opacity(
    field: Field,
    lattice: Lattice,
    cells: Int[Tensor, "cell"],
    scale: int,
    generator: torch.Generator,
) -> Float[Tensor, "cell"]:
    """What share of light a step of a cell's length (over `scale`) takes, somewhere in each."""
    corner = torch.stack(unravel(cells, lattice.dims), dim=1)
    place = corner + torch.rand(corner.shape, generator=generator, device=cells.device)
    x = lattice.points(place)
    sigma = field.activation(field.density(x)[0].to(x.dtype))
    return -torch.expm1(-sigma * lattice.cell_length(x) / scale)
