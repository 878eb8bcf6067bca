"""Losses between what was rendered and what the photos show."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.compositing import Picture

Loss = Callable[[Mapping[str, Picture], Tensor], Tensor]


def mse_loss(renderings: Mapping[str, Picture], rgbs: Float[Tensor, "ray 3"]) -> Float[Tensor, ""]:
    """Mean squared error, summed over the coarse and the fine rendering (NeRF, equation 6)."""
    losses = [(rendering.rgb - rgbs).square().mean() for rendering in renderings.values()]
    return sum(losses[1:], start=losses[0])


def huber_loss(
    renderings: Mapping[str, Picture], rgbs: Float[Tensor, "ray 3"]
) -> Float[Tensor, ""]:
    """Squared up to an error of 0.1, then linear: what cannot be right does not pull hardest."""
    losses = [F.huber_loss(rendering.rgb, rgbs, delta=0.1) for rendering in renderings.values()]
    return sum(losses[1:], start=losses[0])


loss_dict: dict[str, Loss] = {"mse": mse_loss, "huber": huber_loss}
