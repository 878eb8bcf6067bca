"""Losses between what was rendered and what the photos show, each a named term."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.rendering.output import RenderOutput

Loss = Callable[[Mapping[str, RenderOutput], Tensor], Tensor]


def mse_loss(outputs: Mapping[str, RenderOutput], rgbs: Float[Tensor, "ray 3"]) -> Tensor:
    """Mean squared error, summed over the coarse and the fine output (NeRF, equation 6)."""
    losses = [(output.rgb - rgbs).square().mean() for output in outputs.values()]
    return sum(losses[1:], start=losses[0])


def huber_loss(outputs: Mapping[str, RenderOutput], rgbs: Float[Tensor, "ray 3"]) -> Tensor:
    """Squared up to an error of 0.1, then linear: outliers do not pull hardest."""
    losses = [F.huber_loss(output.rgb, rgbs, delta=0.1) for output in outputs.values()]
    return sum(losses[1:], start=losses[0])


def sparse_depth_loss(
    opacity: Float[Tensor, "ray"], target_opacity: Float[Tensor, "ray"]
) -> Tensor:
    """Mean error of the opacity of rays that end shortly before or behind a known point."""
    return (opacity - target_opacity).abs().mean()


def distortion_loss(distortion: Float[Tensor, "ray"]) -> Tensor:
    """Mean spread of the weights along rays (mip-NeRF 360, equation 15)."""
    return distortion.mean()


loss_dict: dict[str, Loss] = {"mse": mse_loss, "huber": huber_loss}


@dataclass(frozen=True)
class LossConfig:
    """Which terms there are, and their weights.

    Args:
        photometric: "mse" or "huber", of weight 1.
        depth: weight of the sparse depth loss.
        distortion: weight of the distortion loss.
    """

    photometric: str = "mse"
    depth: float = 0.03
    distortion: float = 0.0


def loss_terms(
    outputs: Mapping[str, RenderOutput],
    rgbs: Float[Tensor, "ray 3"],
    config: LossConfig,
    target_opacity: Float[Tensor, "limited"] | None = None,
) -> dict[str, Tensor]:
    """The weighted terms by name ("photometric", "depth", "distortion"); their sum is the loss.

    Args:
        outputs: of a training step, the best one last.
        rgbs: what the photos show.
        target_opacity: of the limited rays, where there are any.
    """
    terms = {"photometric": loss_dict[config.photometric](outputs, rgbs)}
    best = list(outputs.values())[-1]
    if target_opacity is not None:
        opacity = best.extras["limited_opacity"]
        terms["depth"] = config.depth * sparse_depth_loss(opacity, target_opacity)
    if config.distortion > 0:
        terms["distortion"] = config.distortion * distortion_loss(best.extras["distortion"])
    return terms


def total_loss(terms: Mapping[str, Tensor]) -> Tensor:
    """The sum of the terms."""
    first, *others = terms.values()
    return sum(others, start=first)
