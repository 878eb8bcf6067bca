"""From rays to the coordinates of a grid: a box, NDC, or an unbounded scene contracted to a cube.

Grid coordinates count cells: a grid of n cells along an axis spans 0 to n. Along a ray they are
walked in steps of one cell; `s` is the distance walked, in cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datasets.rays import Rays
from datasets.region import Region

Axes = tuple[Tensor, Tensor, Tensor]  # x, y and z apart: each operation reads what it needs


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

    def coordinates(self, x: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point 3"]:
        """Grid coordinates of points of the rays' space."""
        unit = (x - x.new_tensor(self.region.center)) / x.new_tensor(self.region.half)
        if self.region.unbounded:
            unit = contract(unit) / 2
        return (unit - x.new_tensor(self.low)) / x.new_tensor(self.edge)

    @classmethod
    def over(cls, region: Region, resolution: int) -> Lattice:
        """Cells over a whole region, `resolution` of them along its longest side, nearly cubes."""
        longest = max(region.half)
        dims = tuple(max(1, round(resolution * half / longest)) for half in region.half)
        edge = tuple(2 / size for size in dims)
        return cls(region, (-1.0, -1.0, -1.0), edge, dims)  # type: ignore[arg-type]

    def points(self, coordinates: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point 3"]:
        """Points of the rays' space: the inverse of `coordinates`."""
        low, edge, half, center = (
            coordinates.new_tensor(v)
            for v in (self.low, self.edge, self.region.half, self.region.center)
        )
        unit = low + coordinates * edge
        if self.region.unbounded:
            unit = uncontract(2 * unit)
        return center + unit * half

    def cell_length(self, x: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point"]:
        """The longest edge of a cell at points of the rays' space, in its units."""
        edge, half, center = (
            x.new_tensor(v) for v in (self.edge, self.region.half, self.region.center)
        )
        inside = (edge * half).amax()
        if not self.region.unbounded:
            return inside.expand(x.shape[:-1])
        norm = ((x - center) / half).abs().amax(dim=-1).clamp_min(1)
        return 2 * inside * norm.square()  # where the contraction has the slope 1 / norm^2

    def walk(self, rays: Rays) -> Walk:
        """The rays in grid coordinates."""
        center, half = (rays.origins.new_tensor(v) for v in (self.region.center, self.region.half))
        low, edge = (rays.origins.new_tensor(v) for v in (self.low, self.edge))
        if self.region.unbounded:
            return ContractedWalk(self, rays, center, half[0], low, edge)
        origins = ((rays.origins - center) / half - low) / edge
        velocity = rays.directions / (half * edge)
        return StraightWalk(self, rays, origins, velocity)


class Walk:
    """Rays as a marcher walks them.

    Attributes:
        start, end: s of the first and last place on each ray that may hold something, (ray,).
    """

    start: Tensor
    end: Tensor

    def at(self, ray: Tensor, s: Tensor) -> Axes:
        """Grid coordinates of places s (of any shape) on the rays with indices `ray`."""
        raise NotImplementedError

    def t(self, ray: Tensor, s: Tensor) -> Tensor:
        """The rays' own parameter at s."""
        raise NotImplementedError


class StraightWalk(Walk):
    """Rays through a box: straight in grid coordinates too."""

    def __init__(self, lattice: Lattice, rays: Rays, origins: Tensor, velocity: Tensor) -> None:
        self.speed = velocity.norm(dim=1).clamp_min(1e-12)  # cells per unit of t
        directions = velocity / self.speed[:, None]
        self.origins, self.directions = origins.unbind(1), directions.unbind(1)
        # Slabs (Kay and Kajiya 1986): the part of the ray that is between all pairs of planes.
        away = torch.where(directions.abs() < 1e-9, 1e-9, directions)
        to_low = -origins / away
        to_high = (origins.new_tensor([float(n) for n in lattice.dims]) - origins) / away
        enter = torch.minimum(to_low, to_high).amax(dim=1)
        leave = torch.maximum(to_low, to_high).amin(dim=1)
        self.start = torch.maximum(enter, rays.near * self.speed)
        self.end = torch.minimum(leave, rays.far * self.speed)

    def at(self, ray: Tensor, s: Tensor) -> Axes:
        x, y, z = (
            torch.addcmul(o[ray], d[ray], s)
            for o, d in zip(self.origins, self.directions, strict=True)
        )
        return x, y, z

    def t(self, ray: Tensor, s: Tensor) -> Tensor:
        return s / self.speed[ray]


class ContractedWalk(Walk):
    """Rays through an unbounded scene, in steps that grow outside as the contraction shrinks.

    From the place nearest to the centre, t = s inside the inner cube's size and 1 / (2 - s)
    beyond it: there the contraction has the slope 1 / t^2, and dt / ds = t^2.
    """

    def __init__(
        self, lattice: Lattice, rays: Rays, center: Tensor, half: Tensor, low: Tensor, edge: Tensor
    ) -> None:
        origins = (rays.origins - center) / half
        self.half = half
        self.origins, self.directions = origins.unbind(1), rays.directions.unbind(1)
        self.nearest = -(origins * rays.directions).sum(dim=1)
        self.cells = 1 / (2 * edge[0])  # per unit of contracted space
        self.low, self.edge = low, edge
        self.start = unbend(rays.near / half - self.nearest) * self.cells
        self.end = unbend(rays.far / half - self.nearest) * self.cells

    def _distance(self, ray: Tensor, s: Tensor) -> Tensor:
        return self.nearest[ray] + bend(s / self.cells)

    def at(self, ray: Tensor, s: Tensor) -> Axes:
        t = self._distance(ray, s)
        x, y, z = (
            torch.addcmul(o[ray], d[ray], t)
            for o, d in zip(self.origins, self.directions, strict=True)
        )
        norm = torch.maximum(torch.maximum(x.abs(), y.abs()), z.abs()).clamp_min_(1)
        inverse = norm.reciprocal_()
        scale = (2 - inverse).mul_(inverse).mul_(0.5)
        x, y, z = (
            axis.mul_(scale).sub_(low).div_(edge)
            for axis, low, edge in zip((x, y, z), self.low, self.edge, strict=True)
        )
        return x, y, z

    def t(self, ray: Tensor, s: Tensor) -> Tensor:
        return self._distance(ray, s) * self.half


def contract(x: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point 3"]:
    """All of space into [-2, 2]^3; what is inside [-1, 1]^3 stays (mip-NeRF 360, equation 10, with
    the maximum norm, whose balls are the cells' own shape)."""
    norm = x.abs().amax(dim=-1, keepdim=True).clamp_min(1)
    return x * (2 - 1 / norm) / norm


def uncontract(x: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point 3"]:
    """The inverse of `contract`, up to a distance of a thousand."""
    norm = x.abs().amax(dim=-1, keepdim=True).clamp_min(1)
    return x / (norm * (2 - norm).clamp_min(1e-3))


def bend(s: Tensor) -> Tensor:
    """Distance from the place nearest to the centre, of contracted distance s in (-2, 2)."""
    size = s.abs()
    return torch.where(size <= 1, s, s.sign() / (2 - size).clamp_min(1e-3))


def unbend(t: Tensor) -> Tensor:
    """The inverse of `bend`."""
    size = t.abs()
    return torch.where(size <= 1, t, t.sign() * (2 - 1 / size.clamp_min(1)))
