"""Renders a voxel field."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from geometry.rays import Rays
from models.rendering.output import RenderOutput
from models.rendering.renderer import TrainingMode

from .background import eval_background
from .field import VoxelField

# Packed samples of so many rays stay near a processor, or take some 1.5 GB of a GPU.
_RAYS_AT_ONCE, _RAYS_AT_ONCE_ON_GPU = 16384, 65536
# Random numbers for the noise of a training step; in the end each one serves several rays.
_NOISES = 1 << 16


@dataclass(frozen=True)
class VoxelRenderer:
    """Integrates features along rays, then shades them: one network evaluation a ray.

    Args:
        field: what is rendered.
        background: grey level behind everything, where the recipe has a known background.
    """

    field: VoxelField
    background: float = 0.0

    @property
    def rays_per_chunk(self) -> int:
        """Rays of one call."""
        on_cpu = self.field.density_table.device.type == "cpu"
        return _RAYS_AT_ONCE if on_cpu else _RAYS_AT_ONCE_ON_GPU

    def __call__(self, rays: Rays) -> RenderOutput:
        """The rendering, the same each time; behind what a ray meets are the fitted background
        harmonics, or the scene's own background."""
        background: float | Tensor = self.background
        if not self.field.recipe.known_background:
            background = eval_background(self.field.background_sh, rays.viewdirs)
        with torch.no_grad():
            return self.field.render(rays, background)

    def render_train(self, rays: Rays, mode: TrainingMode) -> dict[str, RenderOutput]:
        """The rendering ("voxels"), with samples at random places of their steps.

        The noise on densities is that of the mode, times the recipe's. Limited rays are integrated
        together with the others.
        """
        device, count = rays.origins.device, len(rays)
        background: float | Tensor = self.background if mode.background is None else mode.background
        limits = None
        if mode.limited is not None:
            rays = rays.concat(mode.limited.rays)
            limits = mode.limited.limits.after_unlimited(count)
            if isinstance(background, Tensor):
                background = F.pad(background, (0, 0, 0, len(rays) - count))
        uniform = torch.rand(8, len(rays), generator=mode.generator, device=device)
        uniform[0].sub_(0.5).mul_(mode.perturb).add_(0.5)
        noise, noise_std = None, mode.noise_std * self.field.recipe.noise
        if noise_std > 0:
            noise = noise_std * torch.randn(_NOISES, generator=mode.generator, device=device)
        output = self.field.render(rays, background, uniform, noise, limits, count)
        if mode.limited is None:
            return {"voxels": output}
        extras = {name: value[:count] for name, value in output.extras.items()}
        extras["limited_opacity"] = output.opacity[count:]
        rgb, depth, opacity = (x[:count] for x in (output.rgb, output.depth, output.opacity))
        return {"voxels": replace(output, rgb=rgb, depth=depth, opacity=opacity, extras=extras)}
