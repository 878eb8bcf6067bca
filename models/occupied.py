"""Which cells a field fills: of a trained field, or followed while it is trained."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from datasets.region import Region

from .field import Field
from .occupancy import Occupancy, Samples, dilate
from .space import Lattice
from .walk import Walk

# The search in a trained field begins with cells this many times as long, of which each is asked
# at this many places.
_COARSE, _COARSE_POINTS = 4, 8
_AT_ONCE = 1 << 16
# In training each update looks at one in so many cells.
_TURNS = 16


@torch.no_grad()
def occupancy_of(
    field: Field,
    region: Region,
    resolution: int = 128,
    threshold: float = 0.01,
    points: int = 2,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Occupancy:
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
            return Occupancy(fine, mask)
        scale //= 2
        lattice, count = _coarser(fine, scale), points
        for axis, size in enumerate(lattice.dims):
            mask = mask.repeat_interleave(2, dim=axis).narrow(axis, 0, size)


class MovingOccupancy(nn.Module):
    """Follows where a field that is being trained has density (instant-ngp, section 5.4, E.2).

    Each cell is looked at every 16 * `every` steps, at a random place; what is kept is the
    largest opacity that was found, fading. Until all have been looked at, all are occupied.
    Saved with a checkpoint, so that a resumed training goes on as it would have.

    Args:
        region: what the cells span.
        resolution: cells along its longest side.
        every: steps between updates, of one cell in 16.
        threshold: as in `occupancy_of`; less where a field has hardly any density yet.
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
        self._occupancy: Occupancy | None = None

    @property
    def occupancy(self) -> Occupancy:
        """The occupied cells as they are now."""
        if self._occupancy is None or self._occupancy.mask.device != self.mask.device:
            self._occupancy = Occupancy(self.lattice, self.mask)
        return self._occupancy

    def march(
        self, walk: Walk, jitter: Float[Tensor, "ray"] | None = None, step: float = 1.0
    ) -> Samples:
        """The samples of rays in the cells that are occupied now; see Occupancy.march."""
        return self.occupancy.march(walk, jitter, step)

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
            self.mask, self._occupancy = mask, None

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._occupancy = None


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
    corner = torch.stack(torch.unravel_index(cells, lattice.dims), dim=1)
    place = corner + torch.rand(corner.shape, generator=generator, device=cells.device)
    x = lattice.points(place)
    sigma = field.activation(field.density(x)[0].to(x.dtype))
    return -torch.expm1(-sigma * lattice.cell_length(x) / scale)
