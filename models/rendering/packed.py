"""Compositing of packed samples, in which each ray has its own number of them."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from models.grids.samples import RaySamples

from .compositing import render_weight_from_density
from .output import RenderOutput


def packed_weight_from_density(
    sigma: Float[Tensor, "sample"], samples: RaySamples
) -> Float[Tensor, "sample"]:
    """`render_weight_from_density` of packed samples.

    The sums along rays are taken in a rectangle (ray, sample) that is filled up with nothing. One
    running sum over all samples would need no rectangle, but double precision, which not every
    device has.
    """
    if len(samples) == 0:
        return sigma.clone()
    rows = render_weight_from_density(samples.padded(sigma), samples.padded(samples.deltas))
    return samples.packed(rows)


def accumulate_along_rays(
    values: Float[Tensor, "sample *channel"], ray_indices: Int[Tensor, "sample"], n_rays: int
) -> Float[Tensor, "ray *channel"]:
    """Sums of the values on each ray."""
    return values.new_zeros(n_rays, *values.shape[1:]).index_add(0, ray_indices, values)


def composite_packed(
    weights: Float[Tensor, "sample"],
    rgb: Float[Tensor, "sample 3"],
    samples: RaySamples,
    background: float | Float[Tensor, "ray 3"],
) -> RenderOutput:
    """Sum colours and depths by their weights, before a grey or a coloured background."""
    opacity, depth, colour = (
        accumulate_along_rays(values, samples.ray_indices, samples.n_rays)
        for values in (weights, weights * samples.t, weights[:, None] * rgb)
    )
    return RenderOutput(colour + background * (1 - opacity[:, None]), depth, opacity)
