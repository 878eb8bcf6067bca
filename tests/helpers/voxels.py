"""Regions of each kind, rays through them, grids and tables."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from geometry.rays import Rays
from geometry.region import Region
from models.voxels.grid import VoxelGrid
from models.voxels.growth import first_grid

BOX = Region((0.1, -0.2, 0.3), (1.0, 1.0, 1.0))
AROUND = Region((0.0, 0.0, 0.0), (0.5, 0.5, 0.5), unbounded=True)
FORWARD = Region((0.0, 0.0, 0.0), (1.3, 1.1, 1.0), z_anisotropy=3.0)
REGIONS = pytest.mark.parametrize("region", [BOX, AROUND, FORWARD], ids=["box", "around", "ndc"])


def rays_at(region: Region, count: int = 40, seed: int = 0) -> Rays:
    """Rays from a shell around the region to places in it."""
    generator = torch.Generator().manual_seed(seed)
    center, half = torch.tensor(region.center), torch.tensor(region.half)
    origins = F.normalize(torch.randn(count, 3, generator=generator), dim=1) * 3 + center
    target = center + half * (2 * torch.rand(count, 3, generator=generator) - 1)
    directions = F.normalize(target - origins, dim=1)
    ones = torch.ones(count)
    image = torch.zeros(count, dtype=torch.long)
    return Rays(origins, directions, directions, 0.2 * ones, 8 * ones, image)


def some_grid(region: Region, cells: float = 12.0, share: float = 0.4) -> VoxelGrid:
    grid = first_grid(region, cells)
    keep = torch.rand(grid.mask.shape, generator=torch.Generator().manual_seed(1)) < share
    return VoxelGrid(grid.lattice, grid.mask & keep)


def some_tables(grid: VoxelGrid, channels: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    density = 5 + 2 * torch.randn(grid.size, 1, generator=generator)
    return density, torch.randn(grid.size, channels, generator=generator)
