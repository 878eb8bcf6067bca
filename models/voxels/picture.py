"""A picture of a voxel grid: rays are followed in stretches, as far as there is light left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from datasets.rays import Rays

from ..parallel import parallel, shares
from ..walk import Walk, of_rays
from .grid import VoxelGrid
from .integral import Sampling, look
from .kernels import Found

# Half of the samples in a trained scene lie behind something opaque.
_STRETCHES = 4
# A ray ends where no more light than this is left: it lacks that share of what is behind.
_HIDDEN = 1e-3


class Shown(NamedTuple):
    """Feature (ray, channel), opacity (ray,) and depth (ray,) of rays; samples of all of them."""

    feature: Tensor
    opacity: Tensor
    depth: Tensor
    samples: int


@torch.no_grad()
def show(density: Tensor, features: Tensor, grid: VoxelGrid, rays: Rays, how: Sampling) -> Shown:
    """What rays show, the same each time; what RenderVoxels finds, but for what is hidden."""
    walk = grid.lattice.walk(rays, how.stops)
    parts = [of_rays(walk, part) for part in shares(len(rays), density.device)]
    shown = parallel(lambda part: _front_to_back(grid, density, features, part, how), parts)
    feature, opacity, depth, samples = zip(*shown, strict=True)
    return Shown(torch.cat(feature), torch.cat(opacity), torch.cat(depth), sum(samples))


def _front_to_back(
    grid: VoxelGrid, density: Tensor, features: Tensor, walk: Walk, how: Sampling
) -> Shown:
    count = len(walk.start)
    feature = density.new_zeros(count, features.shape[1])
    depth, opacity = density.new_zeros(count), density.new_zeros(count)
    samples = 0
    darkest = 0.0 if how.exact else _HIDDEN
    for left, light, found in stretches(grid, density, features, walk, how, darkest):
        feature.index_add_(0, left, light[:, None] * found.feature)
        depth.index_add_(0, left, light * found.depth)
        opacity.index_add_(0, left, light * found.opacity)
        samples += len(found.ray)
    return Shown(feature, opacity, depth, samples)


def stretches(
    grid: VoxelGrid, density: Tensor, features: Tensor, walk: Walk, how: Sampling, darkest: float
) -> Iterator[tuple[Tensor, Tensor, Found]]:
    """What rays meet, a stretch of each at a time, from front to back.

    Args:
        darkest: rays with no more light than this are followed no further.

    Yields:
        The rays that are left, by their number; the light that arrives at their stretch; and what
        they meet there, whose rays are numbered among those that are left.
    """
    count, device = len(walk.start), density.device
    light = density.new_ones(count)
    # Whole segments of eight samples, so that these are where they would be in a single stretch.
    segment = 8 * how.step
    length = ((walk.end - walk.start) / (segment * _STRETCHES)).ceil().clamp_min(1) * segment
    left = torch.arange(count, device=device)
    for number in range(_STRETCHES):
        some = of_rays(walk, left)
        start = some.start + number * length[left]
        end = torch.minimum(some.end, start + length[left])
        found = look(grid, density, features, some._replace(start=start, end=end), how)
        arriving = light[left]
        yield left, arriving, found
        light[left] = arriving * (1 - found.opacity)
        left = left[light[left] > darkest]
