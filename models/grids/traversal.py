"""Traversal of a grid by rays: in steps of a cell, straight or through contracted space.

The functions here are run by TorchScript (see parallel.py), which is why they take and give
plain tensors; shapes are in the comments.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from geometry import contraction
from geometry.contraction import contract_1d
from models.parallel import scripted

# Eight samples, at most a cell apart, are tested at once against blocks of BLOCK^3 cells: most of
# space is left out by few lookups. (`traverse` has both numbers written out: TorchScript reads no
# globals.)
BLOCK = 4


class GridRays(NamedTuple):
    """Rays in grid coordinates, which count cells; s is the distance along the ray, in cells.

    Attributes:
        origins, directions: (3, ray).
        start, end: (ray,) s of the first and last place on each ray that may hold something.
        speed: (ray,) cells per unit of the rays' own parameter t.
        nearest: (ray,) where each ray is nearest to the centre of an unbounded region, in halves
            of its inner cube; empty for a bounded one.
        low, edge: (3, 1, 1) the grid's corner and cells, in the region's cube.
    """

    origins: Tensor
    directions: Tensor
    start: Tensor
    end: Tensor
    speed: Tensor
    nearest: Tensor
    low: Tensor
    edge: Tensor


def select_rays(grid_rays: GridRays, part: slice | Tensor) -> GridRays:
    """Some of the rays."""
    nearest = grid_rays.nearest[part] if grid_rays.nearest.numel() else grid_rays.nearest
    return grid_rays._replace(
        origins=grid_rays.origins[:, part],
        directions=grid_rays.directions[:, part],
        start=grid_rays.start[part],
        end=grid_rays.end[part],
        speed=grid_rays.speed[part],
        nearest=nearest,
    )


inv_contract_1d = scripted(contraction.inv_contract_1d)


@scripted
def grid_coordinates(grid_rays: GridRays, ray: Tensor, s: Tensor) -> Tensor:
    """Grid coordinates (3, chosen, step) of the places s (chosen, step) on chosen rays."""
    origins = grid_rays.origins.index_select(1, ray)[:, :, None]
    directions = grid_rays.directions.index_select(1, ray)[:, :, None]
    if grid_rays.nearest.numel() == 0:
        return torch.addcmul(origins, directions, s[None])
    # Through contracted space in steps that grow outside as the contraction shrinks: from the
    # nearest place, t = s inside the inner cube's size and 1 / (2 - s) beyond it. There the
    # contraction has the slope 1 / t^2, and dt / ds = t^2.
    t = grid_rays.nearest.index_select(0, ray)[:, None] + inv_contract_1d(
        s * (2 * grid_rays.edge[0, 0, 0])
    )
    x = torch.addcmul(origins, directions, t[None])
    inverse = x.abs().amax(dim=0).clamp_min_(1).reciprocal_()
    x.mul_((2 - inverse).mul_(inverse).mul_(0.5))
    return x.sub_(grid_rays.low).div_(grid_rays.edge)


@scripted
def s_to_t(grid_rays: GridRays, ray: Tensor, s: Tensor) -> Tensor:
    """The rays' own parameter t at s (chosen,)."""
    if grid_rays.nearest.numel() == 0:
        return s / grid_rays.speed.index_select(0, ray)
    t = grid_rays.nearest.index_select(0, ray) + inv_contract_1d(s * (2 * grid_rays.edge[0, 0, 0]))
    return t / grid_rays.speed.index_select(0, ray)


@scripted
def flat_index(place: Tensor, dims: list[int]) -> Tensor:
    """Cells (...) of places (3, ...), in the flattened grid; from outside, one at its edge."""
    x, y, z = place.unbind(0)
    i = x.clamp(0, dims[0] - 1).int()
    i = i.mul_(dims[1]).add_(y.clamp(0, dims[1] - 1).int())
    return i.mul_(dims[2]).add_(z.clamp(0, dims[2] - 1).int())


@scripted
def traverse(
    grid_rays: GridRays,
    jitter: Tensor,
    blocks: Tensor,
    block_dims: list[int],
    number: Tensor,
    dims: list[int],
    step: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Samples of rays in occupied cells, before the rays' ends.

    Args:
        jitter: (ray,) where in their steps the samples are, from 0 to 1.
        step: between samples, in cells; at most 1, so that a segment is no longer than tested for.

    Returns:
        ray, s, number of the cell (sample,); place within it (3, sample); first sample of each
        ray, and one entry more.
    """
    rays = grid_rays.start.size(0)
    device = grid_rays.start.device
    segments = ((grid_rays.end - grid_rays.start) / (8 * step)).ceil().clamp_min_(0)
    count = int(segments.max()) if rays > 0 else 0
    steps = torch.arange(count, device=device)
    middle = torch.addcmul(
        grid_rays.start[:, None], steps + 0.5, torch.full([1], 8.0 * step, device=device)
    )
    every = torch.arange(rays, device=device)
    block = flat_index(grid_coordinates(grid_rays, every, middle).mul_(1 / 4), block_dims)
    reached = blocks.index_select(0, block.view(-1))
    reached.logical_and_((steps < segments[:, None]).view(-1))
    kept = reached.nonzero().squeeze(1)

    ray = torch.div(kept, max(count, 1), rounding_mode="floor")
    first = grid_rays.start.index_select(0, ray) + (kept - ray * count) * (8 * step)
    first = first + jitter.index_select(0, ray) * step
    s = first[:, None] + torch.arange(8, device=device) * step
    place = grid_coordinates(grid_rays, ray, s)
    cell = number.index_select(0, flat_index(place, dims).view(-1))
    before_end = s < grid_rays.end.index_select(0, ray)[:, None]
    inside = (cell >= 0).logical_and_(before_end.view(-1)).nonzero().squeeze(1)
    ray = ray.index_select(0, torch.div(inside, 8, rounding_mode="floor"))
    within = place.view(3, -1).index_select(1, inside).frac_()
    starts = torch.zeros(rays + 1, dtype=torch.long, device=device)
    starts[1:] = torch.bincount(ray, minlength=rays).cumsum(0)
    return (
        ray,
        s.view(-1).index_select(0, inside),
        cell.index_select(0, inside),
        within,
        starts,
    )


def t_to_s(grid_rays: GridRays, t: Tensor) -> Tensor:
    """The inverse of `s_to_t`: the place s on each ray (ray,) where its parameter is t (ray,)."""
    if grid_rays.nearest.numel() == 0:
        return t * grid_rays.speed
    s = contract_1d(t * grid_rays.speed - grid_rays.nearest)
    return s / (2 * grid_rays.edge[0, 0, 0])
