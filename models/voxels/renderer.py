"""Pictures of a voxel field."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from datasets.rays import Rays
from datasets.sightings import SparseDepth

from ..compositing import Picture, TrainingPicture
from .field import VoxelField
from .surroundings import behind

# Packed samples of so many rays stay near a processor, or take some 1.5 GB of a GPU.
_RAYS_AT_ONCE, _RAYS_OF_GPU = 16384, 65536
# Random numbers for the noise of a training step; in the end each one serves several rays.
_NOISES = 1 << 16
# To so many of a training step's rays comes a pair towards a point that is known,
_POINTS = 16
# and this is the loss of light where it should go on, or of what should hide it.
_FOG = 0.03


@dataclass(frozen=True)
class VoxelRenderer:
    """Renders a voxel field; as models.rendering.HierarchicalRenderer does the paper's two.

    Args:
        field: what is rendered.
        background: grey level behind everything.
        sparse_depth: draws rays towards points that are known.
    """

    field: VoxelField
    background: float = 0.0
    sparse_depth: SparseDepth | None = None

    def to(self, device: torch.device | str) -> VoxelRenderer:
        """The same, with its points on the device that the field has been moved to."""
        depth = self.sparse_depth
        return replace(self, sparse_depth=None if depth is None else depth.to(device))

    def rays_at_once(self, chunk: int) -> int:
        """Rays of one call; no network sees their samples, so that `chunk` does not matter."""
        on_cpu = self.field.density_table.device.type == "cpu"
        return _RAYS_AT_ONCE if on_cpu else _RAYS_OF_GPU

    def __call__(self, rays: Rays) -> Picture:
        """The same each time. A place has no background of its own: behind what a ray meets is
        what the photos show beside their subject."""
        beyond: float | Tensor = self.background
        if not self.field.recipe.backdrop:
            beyond = behind(self.field.unseen, rays.viewdirs)
        with torch.no_grad():
            rgb, depth, opacity, *_ = self.field.render(rays, beyond)
        return Picture(rgb, depth, opacity)

    def train(
        self,
        rays: Rays,
        perturb: float,
        noise_std: float,
        generator: torch.Generator,
        background: Float[Tensor, "ray 3"] | None = None,
    ) -> dict[str, TrainingPicture]:
        """With samples at random places of their step.

        Args:
            noise_std: of the noise on densities, where the field's recipe wants any.

        Returns:
            The rendering, with the samples of rays towards known points among its own, and a
            penalty for fog before these, for seeing through them, and for what is spread out.
        """
        device, count = rays.origins.device, len(rays)
        stops = wanted = penalty = None
        beyond = self.background if background is None else background
        if self.sparse_depth is not None:
            others, stops, wanted = self.sparse_depth(-(-count // _POINTS), generator)
            rays, stops = rays.and_also(others), stops.after(count)
            if isinstance(beyond, Tensor):
                beyond = F.pad(beyond, (0, 0, 0, len(others)))
        uniform = torch.rand(8, len(rays), generator=generator, device=device)
        uniform[0].sub_(0.5).mul_(perturb).add_(0.5)
        noise, noise_std = None, noise_std * self.field.recipe.noise
        if noise_std > 0:
            noise = noise_std * torch.randn(_NOISES, generator=generator, device=device)
        shown = self.field.render(rays, beyond, uniform, noise, stops, count)
        rgb, depth, opacity = (x[:count] for x in (shown.rgb, shown.depth, shown.opacity))
        if wanted is not None:
            penalty = _FOG * (shown.opacity[count:] - wanted).abs().mean()
        if self.field.recipe.distortion > 0:
            apart = self.field.recipe.distortion * shown.distortion[:count].mean()
            penalty = apart if penalty is None else penalty + apart
        return {"voxels": TrainingPicture(rgb, depth, opacity, shown.samples, penalty)}
