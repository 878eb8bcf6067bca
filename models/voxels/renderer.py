"""Pictures of a voxel field."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from datasets.rays import Rays
from datasets.sightings import FreeSpace

from ..compositing import Picture
from .field import VoxelField

# Packed samples of so many rays stay near the processor.
_RAYS_AT_ONCE = 16384
# Where a ray of a place without a backdrop meets less than this, it shows grey.
_SOMETHING, _NOTHING = 0.05, 0.5


# Of a training step's rays, one more in so many looks through space that is known to be free,
_FREE = 8
# and what it meets there counts so much.
_FOG = 0.1


@dataclass(frozen=True)
class VoxelRendering(Picture):
    """A picture of a training step.

    Attributes:
        samples: how many it took.
        penalty: for what was met where nothing is.
    """

    samples: int
    penalty: Tensor | None = None


@dataclass(frozen=True)
class VoxelRenderer:
    """Renders a voxel field; as models.rendering.HierarchicalRenderer does the paper's two.

    Args:
        field: what is rendered.
        background: grey level behind everything.
        free_space: draws rays that should meet nothing.
    """

    field: VoxelField
    background: float = 0.0
    free_space: FreeSpace | None = None

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
        device, count = rays.origins.device, len(rays)
        stops = penalty = None
        behind = self.background if background is None else background
        if self.free_space is not None:
            free, ends = self.free_space(-(-count // _FREE), generator)
            stops = torch.cat([torch.full_like(rays.far, torch.inf), ends])
            rays = rays.and_also(free)
            if isinstance(behind, Tensor):
                behind = F.pad(behind, (0, 0, 0, len(free)))
        uniform = torch.rand(8, len(rays), generator=generator, device=device)
        uniform[0].sub_(0.5).mul_(perturb).add_(0.5)
        rgb, depth, opacity, samples = self.field.render(rays, behind, uniform, stops)
        if self.free_space is not None:
            penalty = _FOG * opacity[count:].mean()
            rgb, depth, opacity = rgb[:count], depth[:count], opacity[:count]
        return {"voxels": VoxelRendering(rgb, depth, opacity, int(samples), penalty)}
