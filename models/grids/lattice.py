"""From rays to the coordinates of a grid: a box, NDC, or an unbounded scene contracted to a cube.

Grid coordinates count cells: a grid of n cells along an axis spans 0 to n. Along a ray they are
traversed in steps of a cell, or less; `s` is the distance along the ray, in cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from geometry.contraction import contract, contract_1d, inv_contract
from geometry.rays import RayLimits, Rays
from geometry.region import Region
from models.grids.traversal import GridRays

# Where a ray through contracted space ends: at 1 / (2 - 1.98) = 50 halves of the inner cube.
_HORIZON = 1.98


@dataclass(frozen=True)
class Lattice:
    """Cells over a part of a region's cube [-1, 1]^3.

    Args:
        region: what the cube spans.
        low: the corner of the first cell, in the cube.
        edge: of a cell along x, y and z, in the cube.
        dims: cells along x, y and z.
    """

    region: Region
    low: tuple[float, float, float]
    edge: tuple[float, float, float]
    dims: tuple[int, int, int]

    @property
    def relative_cell_size(self) -> float:
        """The length of a cell along x, in the longest side of the region. (In NDC a cell is longer
        along z.)"""
        return self.edge[0] * self.region.half[0] / (2 * max(self.region.half))

    def coordinates(self, x: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point 3"]:
        """Grid coordinates of points of the rays' space."""
        center, half, low, edge, _ = _numbers(self, x.device, x.dtype)
        unit = (x - center) / half
        if self.region.unbounded:
            unit = contract(unit) / 2
        return (unit - low) / edge

    @classmethod
    def over(cls, region: Region, resolution: int) -> Lattice:
        """Cells over a whole region, `resolution` of them along its longest side, nearly cubes."""
        longest = max(region.half)
        dims = tuple(max(1, round(resolution * half / longest)) for half in region.half)
        edge = tuple(2 / size for size in dims)
        return cls(region, (-1.0, -1.0, -1.0), edge, dims)  # type: ignore[arg-type]

    def points(self, coordinates: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point 3"]:
        """Points of the rays' space: the inverse of `coordinates`."""
        center, half, low, edge, _ = _numbers(self, coordinates.device, coordinates.dtype)
        unit = low + coordinates * edge
        if self.region.unbounded:
            unit = inv_contract(2 * unit)
        return center + unit * half

    def cell_length(self, x: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point"]:
        """The longest edge of a cell at points of the rays' space, in its units."""
        center, half, _, edge, _ = _numbers(self, x.device, x.dtype)
        inside = (edge * half).amax()
        if not self.region.unbounded:
            return inside.expand(x.shape[:-1])
        norm = ((x - center) / half).abs().amax(dim=-1).clamp_min(1)
        return 2 * inside * norm.square()  # where the contraction has the slope 1 / norm^2

    def grid_rays(self, rays: Rays, limits: RayLimits | None = None) -> GridRays:
        """The rays in grid coordinates; their first and last place within the grid."""
        center, half, low, edge, dims = _numbers(self, rays.origins.device, rays.origins.dtype)
        corner = (low[:, None, None], edge[:, None, None])
        origins, directions = (rays.origins - center) / half, rays.directions
        if self.region.unbounded:
            nearest = -(origins * directions).sum(dim=1)
            near = rays.near.clamp_min(self.region.near_clip)
            start = contract_1d(near / half[0] - nearest) / (2 * edge[0])
            end = torch.full_like(start, _HORIZON) / (2 * edge[0])
            if limits is not None:
                met = contract_1d(limits.t / half[0] - nearest) / (2 * edge[0])
                end = torch.minimum(end, met + limits.cells)
            speed = (1 / half[0]).expand_as(start)
            o, d = origins.t().contiguous(), directions.t().contiguous()
            return GridRays(o, d, start, end, speed, nearest, *corner)
        origins, velocity = (origins - low) / edge, directions / (half * edge)
        speed = velocity.norm(dim=1).clamp_min(1e-12)
        directions = velocity / speed[:, None]
        # Slabs (Kay and Kajiya 1986): the part of the ray that is between all pairs of planes.
        away = torch.where(directions.abs() < 1e-9, 1e-9, directions)
        to_low = -origins / away
        to_high = (dims - origins) / away
        start = torch.minimum(to_low, to_high).amax(dim=1)
        end = torch.maximum(to_low, to_high).amin(dim=1)
        start = torch.maximum(start, rays.near * speed)
        end = torch.minimum(end, rays.far * speed)
        if limits is not None:
            end = torch.minimum(end, limits.t * speed + limits.cells)
        o, d = origins.t().contiguous(), directions.t().contiguous()
        return GridRays(o, d, start, end, speed, origins.new_empty(0), *corner)


def unravel(index: Int[Tensor, "place"], dims: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Indices along x, y and z (place,) of places in a flattened grid.

    As torch.unravel_index, whose first call takes half a second to import SymPy.
    """
    _, ny, nz = dims
    row = torch.div(index, nz, rounding_mode="floor")
    x = torch.div(row, ny, rounding_mode="floor")
    return x, row - x * ny, index - row * nz


@lru_cache(maxsize=64)
def _numbers(lattice: Lattice, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Centre and half of its region, low, edge and dims, kept where they are needed at each step:
    numbers are sent to a GPU one by one, and each time it waits for them."""
    region = lattice.region
    values = (region.center, region.half, lattice.low, lattice.edge, lattice.dims)
    with torch.inference_mode(False):  # a training may go on with what a picture made
        return tuple(torch.tensor(value, device=device, dtype=dtype) for value in values)
