"""Rays in a scene from 2 to 6, and small networks."""

from __future__ import annotations

import torch

from geometry.rays import Rays
from models.nerf.network import NeRF


def make_rays(count: int, near: float = 2.0, far: float = 6.0, seed: int = 0) -> Rays:
    generator = torch.Generator().manual_seed(seed)
    origins = torch.randn(count, 3, generator=generator)
    directions = torch.randn(count, 3, generator=generator)
    directions = directions / directions.norm(dim=1, keepdim=True)
    ends = torch.full((count,), near), torch.full((count,), far)
    image = torch.zeros(count, dtype=torch.int64)
    return Rays(origins, directions, directions, *ends, image)


def lively_field(seed: int, width: int = 32) -> NeRF:
    """Untrained, but with empty and solid places."""
    torch.manual_seed(seed)
    field = NeRF(D=6, W=width)
    with torch.no_grad():
        field.sigma.weight.mul_(30)
        field.sigma.bias.fill_(-0.5)
    return field
