"""The paper's two passes: a coarse field finds where a fine one is sampled (NeRF, section 5.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geometry.rays import Rays
from models.field import Field

from .compositing import composite, render_weight_from_density
from .output import RenderOutput
from .renderer import TrainingMode
from .sampling import importance_samples, merge_samples, sample_lengths, stratified_samples
from .shading import density_only, shade


@dataclass(frozen=True)
class HierarchicalRenderer:
    """Stratified samples of a coarse field, then importance samples of a fine one.

    Args:
        coarse, fine: the fields; without a fine one, the coarse one's colours are the result.
        N_samples: coarse samples per ray.
        N_importance: further samples of the fine pass, which takes the coarse ones too.
        use_disp: coarse samples evenly spaced in 1 / t.
        background: grey level behind everything.
        chunk: points that a network evaluates at once when an image is rendered.
    """

    coarse: Field
    fine: Field | None
    N_samples: int
    N_importance: int
    use_disp: bool = False
    background: float = 0.0
    chunk: int = 32 * 1024

    @property
    def rays_per_chunk(self) -> int:
        """Rays whose samples are `chunk` points at most."""
        return self.chunk // (self.N_samples + (self.N_importance if self.fine is not None else 0))

    def __call__(self, rays: Rays) -> RenderOutput:
        """The fine rendering, the same each time; the coarse pass evaluates density only."""
        t = stratified_samples(rays, self.N_samples, self.use_disp)
        if self.fine is None:
            return self._pass(self.coarse, rays, t)
        sigma = density_only(self.coarse, rays.points(t))
        weights = render_weight_from_density(sigma, sample_lengths(t, rays))
        t = merge_samples(t, importance_samples(t, weights, self.N_importance))
        return self._pass(self.fine, rays, t)

    def render_train(self, rays: Rays, mode: TrainingMode) -> dict[str, RenderOutput]:
        """Both passes ("coarse", "fine") with random samples and noisy densities."""
        generator = mode.generator
        t = stratified_samples(rays, self.N_samples, self.use_disp, mode.perturb, generator)
        coarse = self._pass(self.coarse, rays, t, mode)
        if self.fine is None:
            return {"coarse": coarse}
        finer = importance_samples(
            t, coarse.extras["weights"], self.N_importance, generator if mode.perturb else None
        )
        fine = self._pass(self.fine, rays, merge_samples(t, finer), mode)
        return {"coarse": coarse, "fine": fine}

    def _pass(
        self,
        field: Field,
        rays: Rays,
        t: Float[Tensor, "ray sample"],
        mode: TrainingMode | None = None,
    ) -> RenderOutput:
        deltas = sample_lengths(t, rays)
        noise, background = None, None
        if mode is not None:
            background = mode.background
            if mode.noise_std > 0:
                noise = torch.randn(t.shape, generator=mode.generator, device=t.device)
                noise = mode.noise_std * noise
        sigma, rgb = shade(field, rays.points(t), rays.viewdirs, deltas, noise)
        behind = self.background if background is None else background
        return composite(render_weight_from_density(sigma, deltas), rgb, t, behind)
