"""Pictures of a voxel grid: rays are followed in parts, as far as there is light left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from geometry.rays import Rays
from models.grids.traversal import GridRays, select_rays
from models.parallel import parallel, split_for_device
from models.rendering.march import march_front_to_back
from models.voxels.grid import VoxelGrid

from .autograd import MarchConfig, integrate
from .kernels import RayIntegral

# Half of the samples in a trained scene lie behind something opaque.
_PARTS = 4


class RayFeatures(NamedTuple):
    """Feature (ray, channel), opacity (ray,) and depth (ray,) of rays; samples of all of them."""

    feature: Tensor
    opacity: Tensor
    depth: Tensor
    n_samples: int


@torch.no_grad()
def render_rays(
    density: Tensor, features: Tensor, grid: VoxelGrid, rays: Rays, config: MarchConfig
) -> RayFeatures:
    """What rays show, the same each time: IntegrateVoxels' values, but for what is occluded."""
    grid_rays = grid.lattice.grid_rays(rays, config.limits)
    parts = [select_rays(grid_rays, part) for part in split_for_device(len(rays), density.device)]
    done = parallel(lambda part: _accumulate(grid, density, features, part, config), parts)
    feature, opacity, depth, n_samples = zip(*done, strict=True)
    return RayFeatures(torch.cat(feature), torch.cat(opacity), torch.cat(depth), sum(n_samples))


def _accumulate(
    grid: VoxelGrid, density: Tensor, features: Tensor, grid_rays: GridRays, config: MarchConfig
) -> RayFeatures:
    count = len(grid_rays.start)
    feature = density.new_zeros(count, features.shape[1])
    depth, opacity = density.new_zeros(count), density.new_zeros(count)
    n_samples = 0
    early_stop_eps = 0.0 if config.exact else config.early_stop_eps
    march = march_grid(grid, density, features, grid_rays, config, early_stop_eps)
    for alive, transmittance, part in march:
        feature.index_add_(0, alive, transmittance[:, None] * part.feature)
        depth.index_add_(0, alive, transmittance * part.depth)
        opacity.index_add_(0, alive, transmittance * part.opacity)
        n_samples += len(part.ray)
    return RayFeatures(feature, opacity, depth, n_samples)


def march_grid(
    grid: VoxelGrid,
    density: Tensor,
    features: Tensor,
    grid_rays: GridRays,
    config: MarchConfig,
    early_stop_eps: float,
) -> Iterator[tuple[Tensor, Tensor, RayIntegral]]:
    """The integral along rays a part of each at a time, from front to back.

    Yields:
        The rays that are left; the transmittance at the beginning of their part; the integral
        along it, whose rays are numbered among those that are left.
    """
    # Whole segments of eight samples, so that these are where they would be in a single part.
    segment = 8 * config.step
    length = grid_rays.end - grid_rays.start
    length = (length / (segment * _PARTS)).ceil().clamp_min(1) * segment

    def evaluate(number: int, alive: Tensor, transmittance: Tensor) -> tuple[Tensor, RayIntegral]:
        some = select_rays(grid_rays, alive)
        start = some.start + number * length[alive]
        end = torch.minimum(some.end, start + length[alive])
        some = some._replace(start=start, end=end)
        part = integrate(grid, density, features, some, config)
        return 1 - part.opacity, part

    def unfinished(number: int, alive: Tensor) -> Tensor:
        return torch.full_like(alive, number < _PARTS, dtype=torch.bool)

    count = len(grid_rays.start)
    return march_front_to_back(count, evaluate, unfinished, early_stop_eps, density.device)
