"""From rays to colours: coarse and fine pass, and the one loop that renders whole images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from datasets.rays import Rays
from errors import is_out_of_memory

from .compositing import Picture, Rendering, composite, composite_weights
from .field import Field
from .sampling import (
    importance_samples,
    merge_samples,
    sample_lengths,
    stratified_samples,
)
from .shading import density_only, shade


@runtime_checkable
class Renderer(Protocol):
    """What makes pictures of rays, for an image and in training."""

    def rays_at_once(self, chunk: int) -> int:
        """Rays of one call, for networks that see `chunk` points at once."""
        ...

    def __call__(self, rays: Rays) -> Picture:
        """What the rays show; the same each time."""
        ...

    def train(
        self,
        rays: Rays,
        perturb: float,
        noise_std: float,
        generator: torch.Generator,
        background: Float[Tensor, "ray 3"] | None = None,
    ) -> Mapping[str, Picture]:
        """Pictures to take a loss of, the best one last.

        Args:
            perturb: how far samples are moved at random within their intervals.
            noise_std: standard deviation of noise on a network's density.
            generator: of all that is random.
            background: what is behind each ray; by default the renderer's own grey.
        """
        ...


@dataclass(frozen=True)
class HierarchicalRenderer:
    """The paper's two passes: a coarse field finds where a fine one is sampled (section 5.2).

    Args:
        coarse, fine: the fields; without a fine one, the coarse one's colours are the result.
        N_samples: coarse samples per ray.
        N_importance: further samples of the fine pass, which takes the coarse ones too.
        use_disp: coarse samples evenly spaced in 1 / t.
        background: grey level behind everything.
    """

    coarse: Field
    fine: Field | None
    N_samples: int
    N_importance: int
    use_disp: bool = False
    background: float = 0.0

    def rays_at_once(self, chunk: int) -> int:
        """Rays whose samples a network may see at once, so many `chunk` points at most."""
        return chunk // (self.N_samples + (self.N_importance if self.fine is not None else 0))

    def __call__(self, rays: Rays) -> Rendering:
        """The final rendering, the same each time; the coarse pass asks for density only."""
        t = stratified_samples(rays, self.N_samples, self.use_disp)
        if self.fine is None:
            return self._pass(self.coarse, rays, t)
        sigma = density_only(self.coarse, rays.points(t))
        weights = composite_weights(sigma, sample_lengths(t, rays))
        t = merge_samples(t, importance_samples(t, weights, self.N_importance))
        return self._pass(self.fine, rays, t)

    def train(
        self,
        rays: Rays,
        perturb: float,
        noise_std: float,
        generator: torch.Generator,
        background: Float[Tensor, "ray 3"] | None = None,
    ) -> dict[str, Picture]:
        """Both passes ("coarse", "fine") with random samples and noisy densities."""
        t = stratified_samples(rays, self.N_samples, self.use_disp, perturb, generator)
        coarse = self._pass(self.coarse, rays, t, noise_std, generator, background)
        if self.fine is None:
            return {"coarse": coarse}
        finer = importance_samples(
            t, coarse.weights, self.N_importance, generator if perturb else None
        )
        t = merge_samples(t, finer)
        fine = self._pass(self.fine, rays, t, noise_std, generator, background)
        return {"coarse": coarse, "fine": fine}

    def _pass(
        self,
        field: Field,
        rays: Rays,
        t: Float[Tensor, "ray sample"],
        noise_std: float = 0.0,
        generator: torch.Generator | None = None,
        background: Float[Tensor, "ray 3"] | None = None,
    ) -> Rendering:
        deltas = sample_lengths(t, rays)
        noise = None
        if generator is not None and noise_std > 0:
            noise = noise_std * torch.randn(t.shape, generator=generator, device=t.device)
        sigma, rgb = shade(field, rays.points(t), rays.viewdirs, deltas, noise)
        behind = self.background if background is None else background
        return composite(composite_weights(sigma, deltas), rgb, t, behind)


class ImageRenderer:
    """Renders any number of rays, some at a time: the one loop over chunks.

    Args:
        render: rays to their rendering.
        rays_at_once: rays in a chunk. When memory runs out it is halved, for good.
    """

    def __init__(self, render: Callable[[Rays], Picture], rays_at_once: int) -> None:
        self.render = render
        self.rays_at_once = max(1, rays_at_once)

    @torch.no_grad()
    def __call__(self, rays: Rays) -> Picture:
        parts: list[Picture] = []
        start = 0
        while start < len(rays):
            try:
                part = self.render(rays[start : start + self.rays_at_once])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.rays_at_once == 1:
                    raise
                self.rays_at_once //= 2
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            parts.append(Picture(part.rgb, part.depth, part.opacity))
            start += len(part.rgb)
        return Picture(
            torch.cat([part.rgb for part in parts]),
            torch.cat([part.depth for part in parts]),
            torch.cat([part.opacity for part in parts]),
        )
