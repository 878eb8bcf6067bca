"""Density and colour of samples along rays, from a field.

`shade` does what `shade_all` does, and asks the field for gradients and colours only where
there is something to see.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.field import Field
from models.parallel import scaled_for_device
from models.rendering.compositing import transmittance

# Behind this transmittance a sample adds less than the rounding of its ray's colour.
_HIDDEN = 1e-6
# With a larger share of visible samples than this, finding them costs more than it saves; every
# so many-th ray tells.
_WORTHWHILE, _PROBE = 0.6, 32
# Points at a time where no gradient is taken: activations that stay near the processor.
_BLOCK = 16384


def shade_all(
    field: Field,
    points: Float[Tensor, "ray sample 3"],
    viewdirs: Float[Tensor, "ray 3"],
    noise: Float[Tensor, "ray sample"] | None = None,
) -> tuple[Float[Tensor, "ray sample"], Float[Tensor, "ray sample 3"]]:
    """Density sigma and colour of every sample, as the equations have it.

    Args:
        noise: added to the density before its activation.
    """
    raw, feature = field.density(points)
    raw = raw.to(points.dtype)  # a field may compute in half precision, compositing must not
    sigma = field.activation(raw if noise is None else raw + noise)
    return sigma, field.color(feature, viewdirs[:, None]).to(points.dtype)


def shade(
    field: Field,
    points: Float[Tensor, "ray sample 3"],
    viewdirs: Float[Tensor, "ray 3"],
    deltas: Float[Tensor, "ray sample"],
    noise: Float[Tensor, "ray sample"] | None = None,
) -> tuple[Float[Tensor, "ray sample"], Float[Tensor, "ray sample 3"]]:
    """Density and colour of the samples that can be seen; zero for the others.

    A sample without density, or behind what is opaque, has no part in its ray's colour, and
    takes no gradient: the derivative of its weight is zero. So a first pass without gradients
    finds the visible samples (few, in a trained scene), and only these are evaluated again with
    all that gradients need to keep. The rendering is that of `shade_all` to 1e-6.

    Args:
        deltas: length of the interval that each sample stands for.
    """
    if torch.is_grad_enabled():
        some = slice(None, None, _PROBE)
        probe = visible_samples(
            field, points[some], deltas[some], noise if noise is None else noise[some]
        )
        if float(probe.float().mean()) > _WORTHWHILE:
            return shade_all(field, points, viewdirs, noise)

    visible = visible_samples(field, points, deltas, noise)
    ray = visible.nonzero()[:, 0]
    raw, feature = field.density(points[visible])
    raw = raw.to(points.dtype)
    seen = field.activation(raw if noise is None else raw + noise[visible])
    rgb = field.color(feature, viewdirs[ray]).to(points.dtype)
    return (
        torch.zeros_like(deltas).masked_scatter(visible, seen),
        torch.zeros_like(points).masked_scatter(visible[..., None], rgb),
    )


def visible_samples(
    field: Field,
    points: Float[Tensor, "ray sample 3"],
    deltas: Float[Tensor, "ray sample"],
    noise: Float[Tensor, "ray sample"] | None,
) -> Bool[Tensor, "ray sample"]:
    """Which samples have a density and are not behind what is opaque."""
    sigma = density_only(field, points, noise)
    return (sigma > 0) & (transmittance(sigma, deltas) > _HIDDEN)


@torch.no_grad()
def density_only(
    field: Field,
    points: Float[Tensor, "ray sample 3"],
    noise: Float[Tensor, "ray sample"] | None = None,
) -> Float[Tensor, "ray sample"]:
    """Density sigma of every sample, without gradient."""
    blocks = points.reshape(-1, 3).split(scaled_for_device(_BLOCK, points.device))
    raw = torch.cat([field.density(block)[0].to(points.dtype) for block in blocks])
    raw = raw.view(points.shape[:2])
    return field.activation(raw if noise is None else raw + noise)
