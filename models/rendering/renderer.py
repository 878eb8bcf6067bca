"""What every renderer is, in training and for pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from geometry.rays import RayLimits, Rays

from .output import RenderOutput


@dataclass(frozen=True)
class LimitedRays:
    """Rays that end at a limit, of which the opacity alone is wanted."""

    rays: Rays
    limits: RayLimits


@dataclass(frozen=True)
class TrainingMode:
    """What is random, or otherwise unlike a picture, in a training step.

    Attributes:
        generator: source of all that is random.
        perturb: how far samples are moved at random within their intervals, 0 to 1.
        noise_std: standard deviation of the noise on densities before their activation.
        background: colour behind each ray; None for the renderer's own.
        limited: further rays whose opacity goes to extras["limited_opacity"]; only for models
            whose ModelSpec has `depth_supervision`.
    """

    generator: torch.Generator
    perturb: float = 1.0
    noise_std: float = 0.0
    background: Float[Tensor, "ray 3"] | None = None
    limited: LimitedRays | None = None


@runtime_checkable
class PictureRenderer(Protocol):
    """Renders rays for pictures."""

    @property
    def rays_per_chunk(self) -> int:
        """Rays of one call, so that memory suffices."""
        ...

    def __call__(self, rays: Rays) -> RenderOutput:
        """What the rays show, without gradients; the same each time."""
        ...


@runtime_checkable
class Renderer(PictureRenderer, Protocol):
    """Renders rays through whatever fields it was built of, for pictures and in training."""

    def render_train(self, rays: Rays, mode: TrainingMode) -> Mapping[str, RenderOutput]:
        """Outputs to take losses of, the best one last, by name ("coarse", "fine")."""
        ...
