"""Regions, and rays through them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from geometry.rays import Rays
from geometry.region import Region
from models.grids.traversal import GridRays, s_to_t

BOX = Region((0.0, 0.0, 0.0), (1.5, 1.5, 1.5))
NDC = Region((0.1, -0.2, 0.0), (1.2, 1.4, 1.0))
OPEN = Region((0.3, -0.5, 0.2), (2.0, 2.0, 2.0), unbounded=True)
REGIONS = {"box": BOX, "ndc": NDC, "open": OPEN}


def make_rays(region: Region, count: int = 60, seed: int = 0) -> Rays:
    """Rays from around a region through it; for NDC from its front, of any length."""
    generator = torch.Generator().manual_seed(seed)
    center, half = torch.tensor(region.center), torch.tensor(region.half)
    aim = center + 0.7 * half * (2 * torch.rand(count, 3, generator=generator) - 1)
    away = F.normalize(torch.randn(count, 3, generator=generator), dim=1)
    origins = center + 3 * half * away
    viewdirs = F.normalize(aim - origins, dim=1)
    directions, near, far = viewdirs, 0.5, 60.0
    if region is NDC:
        origins = center + half * torch.cat([0.8 * away[:, :2], -torch.ones(count, 1)], dim=1)
        directions = aim - origins
        directions = 2 * half[2] * directions / directions[:, 2:]  # t = 1 at the far end
        near, far = 0.0, 1.0
    ones = torch.ones(count)
    return Rays(origins, directions, viewdirs, near * ones, far * ones, torch.zeros(count).long())


def t_of(grid_rays: GridRays, s: torch.Tensor) -> torch.Tensor:
    """The parameters of places s (ray,) or (ray, step) on all rays."""
    ray = torch.arange(len(s)).repeat_interleave(s[0].numel())
    return s_to_t(grid_rays, ray, s.reshape(-1)).view(s.shape)
