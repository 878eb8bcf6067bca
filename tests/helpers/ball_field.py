"""A field whose pictures have a closed form."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from geometry.rays import Rays
from geometry.region import Region

CUBE = Region((0.0, 0.0, 0.0), (1.5, 1.5, 1.5))


class Ball(torch.nn.Module):
    """A ball of constant density whose colour is its place; counts what it is asked for."""

    def __init__(self, sigma: float, radius: float = 1.0, center=(0.0, 0.0, 0.0)) -> None:
        super().__init__()
        self.sigma = torch.nn.Parameter(torch.tensor(sigma))
        self.radius, self.center = radius, torch.tensor(center)
        self.densities = self.colours = 0

    def density(self, x):
        self.densities += x.shape[:-1].numel()
        inside = (x - self.center).norm(dim=-1) < self.radius
        return self.sigma * inside, x

    def activation(self, raw):
        return F.relu(raw)

    def color(self, feature, viewdirs):
        self.colours += feature.shape[:-1].numel()
        return (feature * 0.3 + 0.5).clamp(0, 1)


def make_rays(count: int = 200, seed: int = 0, far: float = 7.0) -> Rays:
    generator = torch.Generator().manual_seed(seed)
    origins = 4 * F.normalize(torch.randn(count, 3, generator=generator), dim=1)
    aim = 1.2 * (2 * torch.rand(count, 3, generator=generator) - 1)
    d = F.normalize(aim - origins, dim=1)
    ones = torch.ones(count)
    return Rays(origins, d, d, 1.0 * ones, far * ones, torch.zeros(count).long())


def chord(rays: Rays, radius: float) -> torch.Tensor:
    b = (rays.origins * rays.directions).sum(dim=1)
    disc = b**2 - rays.origins.square().sum(dim=1) + radius**2
    return 2 * disc.clamp_min(0).sqrt()
