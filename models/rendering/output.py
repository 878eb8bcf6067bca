"""The one result of rendering, for training and for pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class RenderOutput:
    """What rays show: an image, or part of one.

    Attributes:
        rgb: colours, with the background behind them.
        depth: sum of w_i t_i, the mean parameter t of what is seen times its opacity.
        opacity: sum of the weights w_i.
        extras: what else the renderer knows, by name:
            "weights", "t" (ray, sample): of the samples, where rays have equally many;
            "distortion" (ray,): mip-NeRF 360, equation 15;
            "limited_opacity" (limited ray,): of rays that were followed to a limit.
        n_samples: samples that were evaluated in training, for renderers whose rays take as many
            as there is to see; else 0.
    """

    rgb: Float[Tensor, "ray 3"]
    depth: Float[Tensor, "ray"]
    opacity: Float[Tensor, "ray"]
    extras: dict[str, Tensor] = field(default_factory=dict)
    n_samples: int = 0

    def __len__(self) -> int:
        return len(self.rgb)

    @staticmethod
    def cat(parts: list[RenderOutput]) -> RenderOutput:
        """One output of several, one after the other, without their extras."""
        return RenderOutput(
            torch.cat([part.rgb for part in parts]),
            torch.cat([part.depth for part in parts]),
            torch.cat([part.opacity for part in parts]),
        )
