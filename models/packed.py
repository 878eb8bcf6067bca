"""Volume rendering of packed samples: those of all rays one after the other.

Sums along rays are taken in a rectangle (ray, sample) that is filled up with nothing. One running
sum over all samples would need no rectangle, but double precision, which not every device has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .compositing import Picture, composite_weights


@dataclass(frozen=True)
class PackedSamples:
    """Places on rays, in the order of the rays and along each.

    Attributes:
        ray: the ray of each sample.
        t: its parameter on the ray.
        deltas: the length that it stands for.
        starts: first sample of each ray; one entry more at the end.
    """

    ray: Int[Tensor, "sample"]
    t: Float[Tensor, "sample"]
    deltas: Float[Tensor, "sample"]
    starts: Int[Tensor, "start"]

    def __len__(self) -> int:
        return len(self.ray)

    @property
    def rays(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def place(self) -> Int[Tensor, "sample"]:
        """The number of each sample on its ray."""
        return torch.arange(len(self), device=self.ray.device) - self.starts[self.ray]

    def only(self, chosen: Bool[Tensor, "sample"]) -> PackedSamples:
        """Some of the samples."""
        ray = self.ray[chosen]
        return PackedSamples(ray, self.t[chosen], self.deltas[chosen], starts_of(ray, self.rays))


def starts_of(ray: Int[Tensor, "sample"], rays: int) -> Int[Tensor, "start"]:
    """The first sample of each of so many rays, from the ray of each sample."""
    counts = torch.bincount(ray, minlength=rays)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def packed_weights(
    sigma: Float[Tensor, "sample"], samples: PackedSamples
) -> Float[Tensor, "sample"]:
    """The share of each sample in its ray's colour; `composite_weights` of packed samples."""
    if len(samples) == 0:
        return torch.zeros_like(sigma)
    longest = int((samples.starts[1:] - samples.starts[:-1]).max())
    where = samples.ray * longest + samples.place
    empty = sigma.new_zeros(samples.rays * longest)
    dense = (
        empty.index_copy(0, where, values).view(samples.rays, longest)
        for values in (sigma, samples.deltas)
    )
    return composite_weights(*dense).view(-1)[where]


def sum_by_ray(
    values: Float[Tensor, "sample *channel"], ray: Int[Tensor, "sample"], rays: int
) -> Float[Tensor, "ray *channel"]:
    """Sums of the values on each of so many rays."""
    return values.new_zeros(rays, *values.shape[1:]).index_add(0, ray, values)


def composite_packed(
    weights: Float[Tensor, "sample"],
    rgb: Float[Tensor, "sample 3"],
    samples: PackedSamples,
    background: float | Float[Tensor, "ray 3"],
) -> Picture:
    """Sum colours and depths by their weights, before a grey or a coloured background."""
    opacity, depth = (
        sum_by_ray(values, samples.ray, samples.rays) for values in (weights, weights * samples.t)
    )
    colour = sum_by_ray(weights[:, None] * rgb, samples.ray, samples.rays)
    return Picture(colour + background * (1 - opacity[:, None]), depth, opacity)
