"""Volume rendering of samples along rays (NeRF, equation 3). No model in sight."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .output import RenderOutput


def transmittance(
    sigma: Float[Tensor, "ray sample"], deltas: Float[Tensor, "ray sample"]
) -> Float[Tensor, "ray sample"]:
    """The share of light that reaches each sample, T_i = exp(-sum_{j<i} sigma_j delta_j)."""
    thickness = (sigma * deltas)[:, :-1].cumsum(dim=1)
    return torch.cat([torch.ones_like(sigma[:, :1]), torch.exp(-thickness)], dim=1)


def render_weight_from_density(
    sigma: Float[Tensor, "ray sample"], deltas: Float[Tensor, "ray sample"]
) -> Float[Tensor, "ray sample"]:
    """The share of each sample in its ray's colour, w_i = T_i (1 - exp(-sigma_i delta_i)).

    Args:
        sigma: density, not negative.
        deltas: length of the interval that each sample stands for.
    """
    return transmittance(sigma, deltas) * -torch.expm1(-sigma * deltas)


def composite(
    weights: Float[Tensor, "ray sample"],
    rgb: Float[Tensor, "ray sample 3"],
    t: Float[Tensor, "ray sample"],
    background: float | Float[Tensor, "ray 3"],
) -> RenderOutput:
    """Sum colours and depths by their weights, before a grey or a coloured background."""
    opacity = weights.sum(dim=1)
    with torch.autocast(weights.device.type, enabled=False):  # not in half precision
        colour = torch.einsum("rs,rsc->rc", weights, rgb)
    if isinstance(background, Tensor) or background:
        colour = colour + background * (1 - opacity[:, None])
    extras = {"weights": weights, "t": t}
    return RenderOutput(colour, (weights * t).sum(dim=1), opacity, extras)


def volrend(
    sigmas: Float[Tensor, "ray sample"] | Float[Tensor, "ray sample 1"],
    rgbs: Float[Tensor, "ray sample 3"],
    step_size: float | Float[Tensor, "..."],
    background: float = 0.0,
) -> Float[Tensor, "ray 3"]:
    """The volume rendering integral as a sum (NeRF, equation 3), for samples a step apart.

    C = sum_i T_i (1 - exp(-sigma_i delta)) c_i with T_i = exp(-sum_{j<i} sigma_j delta).

    Args:
        sigmas: densities, not negative.
        rgbs: colours in [0, 1].
        step_size: delta; one for all samples, or one for each (as sigmas).
        background: grey level behind the last sample.
    """
    if sigmas.dim() == rgbs.dim():
        sigmas = sigmas.squeeze(-1)
    deltas = torch.as_tensor(step_size, dtype=sigmas.dtype, device=sigmas.device)
    if deltas.dim() > sigmas.dim():
        deltas = deltas.squeeze(-1)
    weights = render_weight_from_density(sigmas, deltas.expand_as(sigmas))
    return composite(weights, rgbs, torch.zeros_like(sigmas), background).rgb
