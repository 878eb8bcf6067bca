"""Pictures of a voxel field."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datasets.rays import Rays

from ..compositing import Picture
from .field import VoxelField

# Packed samples of so many rays stay near the processor.
_RAYS_AT_ONCE = 16384
# Where a ray of a place without a backdrop meets less than this, it shows grey.
_SOMETHING, _NOTHING = 0.05, 0.5


@dataclass(frozen=True)
class VoxelRendering(Picture):
    """A picture, and the number of samples that it took."""

    samples: int


@dataclass(frozen=True)
class VoxelRenderer:
    """Renders a voxel field; as models.rendering.HierarchicalRenderer does the paper's two.

    Args:
        field: what is rendered.
        background: grey level behind everything.
    """

    field: VoxelField
    background: float = 0.0

    def rays_at_once(self, chunk: int) -> int:
        """Rays of one call; no network sees their samples, so that `chunk` does not matter."""
        return _RAYS_AT_ONCE

    def __call__(self, rays: Rays) -> Picture:
        """The same each time."""
        with torch.no_grad():
            rgb, depth, opacity, _ = self.field.render(rays, self.background)
            if not self.field.recipe.backdrop:
                # What is left of the light would meet what the ray has met, too.
                seen = rgb - (1 - opacity[:, None]) * self.background
                found = opacity[:, None].clamp_min(_SOMETHING)
                rgb = seen / found + (1 - opacity[:, None] / found) * _NOTHING
        return Picture(rgb, depth, opacity)

    def train(
        self,
        rays: Rays,
        perturb: float,
        noise_std: float,
        generator: torch.Generator,
        background: Float[Tensor, "ray 3"] | None = None,
    ) -> dict[str, VoxelRendering]:
        """With samples at random places of their step; noise_std is for networks and unused."""
        device = rays.origins.device
        uniform = torch.rand(8, len(rays), generator=generator, device=device)
        uniform[0].sub_(0.5).mul_(perturb).add_(0.5)
        rgb, depth, opacity, samples = self.field.render(
            rays, self.background if background is None else background, uniform
        )
        return {"voxels": VoxelRendering(rgb, depth, opacity, int(samples))}
