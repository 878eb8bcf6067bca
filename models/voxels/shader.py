"""The tiny network that gives a ray its colour."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Shader(nn.Module):
    """Colour from every side, plus what the direction changes about it.

    rgb = f[:3] + opacity (1/2 + network(f, harmonics of the direction)), with f the features
    summed along the ray. It begins as the first term and grey: the last layer is zero.

    Args:
        channels: of the features.
        hidden: channels of the two hidden layers.
        directions: factor of the direction's harmonics.
    """

    def __init__(self, channels: int, hidden: int, directions: float = 1.0) -> None:
        super().__init__()
        self.directions = directions
        self.network = nn.Sequential(
            nn.Linear(channels + 8, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 3),
        )
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(
        self,
        feature: Float[Tensor, "ray channel"],
        opacity: Float[Tensor, "ray"],
        viewdirs: Float[Tensor, "ray 3"],
    ) -> Float[Tensor, "ray 3"]:
        """Premultiplied RGB: what is seen, without the background behind it."""
        direction = self.directions * harmonics(viewdirs)
        residual = self.network(torch.cat([feature, direction], dim=1))
        return feature[:, :3] + opacity[:, None] * (0.5 + residual)


def harmonics(directions: Float[Tensor, "ray 3"]) -> Float[Tensor, "ray 8"]:
    """Spherical harmonics of degrees 1 and 2, up to factors that a network's weights take in."""
    x, y, z = directions.unbind(-1)
    return torch.stack([x, y, z, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], dim=-1)
