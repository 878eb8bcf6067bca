"""Rays as a marcher walks them: in cells of a grid, straight or through contracted space.

The functions here are run by TorchScript (see parallel.py), which is why they take and give
plain tensors; shapes are in the comments.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .parallel import unlocked

# Eight samples, at most a cell apart, are tested at once against blocks of BLOCK^3 cells: most of
# space is left out by few lookups. (`march` has both numbers written out: TorchScript reads no
# globals.)
BLOCK = 4


class Walk(NamedTuple):
    """Rays in grid coordinates, which count cells; s is the distance walked, in cells.

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


def of_rays(walk: Walk, part: slice | Tensor) -> Walk:
    """Some of the rays."""
    nearest = walk.nearest[part] if walk.nearest.numel() else walk.nearest
    return walk._replace(
        origins=walk.origins[:, part],
        directions=walk.directions[:, part],
        start=walk.start[part],
        end=walk.end[part],
        speed=walk.speed[part],
        nearest=nearest,
    )


@unlocked
def bend(s: Tensor) -> Tensor:
    """Distance from the place nearest to the centre, of contracted distance s in (-2, 2)."""
    size = s.abs()
    return torch.where(size <= 1, s, s.sign() / (2 - size).clamp_min(1e-3))


@unlocked
def places(walk: Walk, ray: Tensor, s: Tensor) -> Tensor:
    """Grid coordinates (3, chosen, step) of the places s (chosen, step) on chosen rays."""
    origins = walk.origins.index_select(1, ray)[:, :, None]
    directions = walk.directions.index_select(1, ray)[:, :, None]
    if walk.nearest.numel() == 0:
        return torch.addcmul(origins, directions, s[None])
    # Through contracted space in steps that grow outside as the contraction shrinks: from the
    # nearest place, t = s inside the inner cube's size and 1 / (2 - s) beyond it. There the
    # contraction has the slope 1 / t^2, and dt / ds = t^2.
    t = walk.nearest.index_select(0, ray)[:, None] + bend(s * (2 * walk.edge[0, 0, 0]))
    x = torch.addcmul(origins, directions, t[None])
    inverse = x.abs().amax(dim=0).clamp_min_(1).reciprocal_()
    x.mul_((2 - inverse).mul_(inverse).mul_(0.5))
    return x.sub_(walk.low).div_(walk.edge)


@unlocked
def parameter(walk: Walk, ray: Tensor, s: Tensor) -> Tensor:
    """The rays' own parameter t at s (chosen,)."""
    if walk.nearest.numel() == 0:
        return s / walk.speed.index_select(0, ray)
    t = walk.nearest.index_select(0, ray) + bend(s * (2 * walk.edge[0, 0, 0]))
    return t / walk.speed.index_select(0, ray)


@unlocked
def flat_index(place: Tensor, dims: list[int]) -> Tensor:
    """Cells (...) of places (3, ...), in the flattened grid; from outside, one at its edge."""
    x, y, z = place.unbind(0)
    i = x.clamp(0, dims[0] - 1).int()
    i = i.mul_(dims[1]).add_(y.clamp(0, dims[1] - 1).int())
    return i.mul_(dims[2]).add_(z.clamp(0, dims[2] - 1).int())


@unlocked
def march(
    walk: Walk,
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
    rays = walk.start.size(0)
    device = walk.start.device
    segments = ((walk.end - walk.start) / (8 * step)).ceil().clamp_min_(0)
    count = int(segments.max()) if rays > 0 else 0
    steps = torch.arange(count, device=device)
    middle = torch.addcmul(
        walk.start[:, None], steps + 0.5, torch.full([1], 8.0 * step, device=device)
    )
    every = torch.arange(rays, device=device)
    block = flat_index(places(walk, every, middle).mul_(1 / 4), block_dims)
    reached = blocks.index_select(0, block.view(-1))
    reached.logical_and_((steps < segments[:, None]).view(-1))
    kept = reached.nonzero().squeeze(1)

    ray = torch.div(kept, max(count, 1), rounding_mode="floor")
    first = walk.start.index_select(0, ray) + (kept - ray * count) * (8 * step)
    first = first + jitter.index_select(0, ray) * step
    s = first[:, None] + torch.arange(8, device=device) * step
    place = places(walk, ray, s)
    cell = number.index_select(0, flat_index(place, dims).view(-1))
    before_end = s < walk.end.index_select(0, ray)[:, None]
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
