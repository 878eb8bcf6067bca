"""From rays to colours through an occupancy grid: only where there is something, front to back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from datasets.rays import Rays

from .compositing import Picture, TrainingPicture
from .field import Field
from .occupancy import Occupancy
from .occupied import MovingOccupancy
from .packed import PackedSamples, composite_packed, packed_weights
from .parallel import at_once
from .sampling import INFINITY
from .space import walked
from .walk import Walk, parameter

# Samples of a ray that are evaluated together, before it is known whether the next can be seen:
# few at first, as most rays end soon after they meet something.
_FIRST, _MOST = 4, 32
# Points at a time where no gradient is taken: activations that stay near the processor.
_BLOCK = 16384
# A sample with less weight than this is not asked for its colour when an image is rendered.
_FAINT = 1e-4


@dataclass(frozen=True)
class OccupancyRenderer:
    """Evaluates a field in occupied cells only, and not behind what is opaque.

    Args:
        field: its colours are computed for each sample.
        occupancy: where it may have density, of a trained field or of one in training.
        background: grey level behind everything.
        step: between the samples of a picture, in cells; at most 1.
        training_step: between those of a training step, whose places are random: what it averages
            over many steps, a picture shows at once. With steps of a whole cell pictures of the
            paper's network on lego lost 0.3 dB.
        hidden: a ray ends where less light than this would pass; its colours are off by no more.
        faint: in training, colours of samples with no more weight than this are left out, and
            count as black. 0 is exact. A field whose density is nowhere zero spends most of its
            time on colours then; TensoRF takes 1e-4.
        endless: where a ray's far end is reached, the last sample stands for all behind it, as in
            `sample_lengths`. Not for such a field in a box: a ray that ends within the box would
            meet a wall there.
    """

    field: Field
    occupancy: Occupancy | MovingOccupancy
    background: float = 0.0
    step: float = 0.5
    training_step: float = 1.0
    hidden: float = 1e-3
    faint: float = 0.0
    endless: bool = True

    def rays_at_once(self, chunk: int) -> int:
        """Rays of one call: so many that `chunk` samples at most are evaluated at once."""
        return chunk // _MOST

    @torch.no_grad()
    def __call__(self, rays: Rays) -> Picture:
        """The rendering, the same each time."""
        samples = self.sample(rays, self.step)
        rgb = rays.origins.new_zeros(len(rays), 3)
        depth, opacity = rgb.new_zeros(2, len(rays))
        for part in front_to_back(self.field, rays, samples, self.hidden):
            ray = samples.ray[part.index]
            opacity.index_add_(0, ray, part.weights)
            depth.index_add_(0, ray, part.weights * samples.t[part.index])
            seen = (part.weights > _FAINT).nonzero().squeeze(1)
            ray = ray[seen]
            colour = self.field.color(part.feature[seen], rays.viewdirs[ray]).to(rgb.dtype)
            rgb.index_add_(0, ray, part.weights[seen, None] * colour)
        return Picture(rgb + self.background * (1 - opacity[:, None]), depth, opacity)

    def train(
        self,
        rays: Rays,
        perturb: float,
        noise_std: float,
        generator: torch.Generator,
        background: Float[Tensor, "ray 3"] | None = None,
    ) -> dict[str, TrainingPicture]:
        """The rendering ("fine"), with samples moved along each ray and noisy densities.

        As in `shade`, a first pass without gradients finds the samples that can be seen, and only
        these are evaluated again with what gradients need.
        """
        jitter = None
        if perturb:
            random = torch.rand(len(rays), generator=generator, device=rays.near.device)
            jitter = 0.5 + perturb * (random - 0.5)
        samples = self.sample(rays, self.training_step, jitter)
        noise = None
        if noise_std > 0:
            noise = noise_std * torch.randn(
                len(samples), generator=generator, device=rays.near.device
            )
        lit = torch.zeros(len(samples), dtype=torch.bool, device=rays.near.device)
        evaluated = 0
        with torch.no_grad():
            for part in front_to_back(self.field, rays, samples, 0.1 * self.hidden, noise):
                lit[part.index[part.lit]] = True
                evaluated += len(part.index)
        samples = samples.only(lit)
        raw, feature = self.field.density(points(rays, samples.ray, samples.t))
        raw = raw.to(samples.t.dtype)  # compositing is not done in half precision
        sigma = self.field.activation(raw if noise is None else raw + noise[lit])
        weights = packed_weights(sigma, samples)
        seen = (weights.detach() > self.faint).nonzero().squeeze(1)
        colour = self.field.color(feature[seen], rays.viewdirs[samples.ray[seen]])
        rgb = samples.t.new_zeros(len(samples), 3).index_copy(0, seen, colour.to(samples.t.dtype))
        behind = self.background if background is None else background
        picture = composite_packed(weights, rgb, samples, behind)
        return {
            "fine": TrainingPicture(picture.rgb, picture.depth, picture.opacity, evaluated),
        }

    @torch.no_grad()
    def sample(
        self, rays: Rays, step: float, jitter: Float[Tensor, "ray"] | None = None
    ) -> PackedSamples:
        """The samples of the rays in occupied cells, before their far ends.

        A walk through an unbounded region goes on behind these, where a network that was trained
        with the two passes has never been.

        Args:
            step: between samples, in cells.
            jitter: where in its step each ray's samples are, from 0 to 1; by default the middle.
        """
        walk = self.occupancy.lattice.walk(rays)
        walk = walk._replace(end=torch.minimum(walk.end, walked(walk, rays.far)))
        marched = self.occupancy.march(walk, jitter, step)
        ray, s = marched.ray, marched.s
        lengths = self._lengths(walk, rays, ray, s, step)
        return PackedSamples(ray, parameter(walk, ray, s), lengths, marched.starts)

    def _lengths(
        self, walk: Walk, rays: Rays, ray: Tensor, s: Tensor, step: float
    ) -> Float[Tensor, "sample"]:
        """The length of a step around each sample, in the units of the directions."""
        half = 0.5 * step
        ahead, behind = (parameter(walk, ray, place) for place in (s + half, s - half))
        lengths = (ahead - behind) * rays.directions.norm(dim=1)[ray]
        if not self.endless:
            return lengths
        every = torch.arange(len(rays), device=ray.device)
        to_far = parameter(walk, every, walk.end) > rays.far * (1 - 1e-4)
        last = to_far[ray] & (s + step >= walk.end[ray])
        return lengths.masked_fill(last, INFINITY)


@dataclass(frozen=True)
class Part:
    """Samples that were evaluated together.

    Attributes:
        index: of the samples.
        feature: of the field there, for its colours.
        weights: their shares in the colours of their rays.
        lit: there is density, and light to see it by.
    """

    index: Int[Tensor, "sample"]
    feature: Float[Tensor, "sample channel"]
    weights: Float[Tensor, "sample"]
    lit: Bool[Tensor, "sample"]


def front_to_back(
    field: Field,
    rays: Rays,
    samples: PackedSamples,
    hidden: float,
    noise: Float[Tensor, "sample"] | None = None,
) -> Iterator[Part]:
    """Evaluate the field's densities at some samples of each ray after the other, without gradient.

    A ray is left out once less light than `hidden` gets through what it met.

    Args:
        noise: added to the density before its activation.
    """
    starts, ends = samples.starts[:-1], samples.starts[1:]
    light = torch.ones_like(rays.near)
    alive = (starts < ends).nonzero().squeeze(1)
    begin, size = 0, _FIRST
    while len(alive):
        grid = starts[alive, None] + begin + torch.arange(size, device=alive.device)
        there = grid < ends[alive, None]
        index = grid[there]
        raws, features = [], []
        for some in index.split(at_once(_BLOCK, index.device)):
            raw, feature = field.density(points(rays, samples.ray[some], samples.t[some]))
            raws.append(raw.to(samples.t.dtype))
            features.append(feature)
        raw = torch.cat(raws)
        sigma = field.activation(raw if noise is None else raw + noise[index])
        thickness = torch.zeros(there.shape, dtype=sigma.dtype, device=sigma.device)
        thickness.masked_scatter_(there, sigma * samples.deltas[index])
        passed = torch.exp(-thickness.cumsum(dim=1))
        reaching = light[alive, None] * torch.cat([torch.ones_like(passed[:, :1]), passed], 1)
        weights = reaching[:, :-1] * -torch.expm1(-thickness)
        lit = (thickness > 0) & (reaching[:, :-1] > hidden)
        yield Part(index, torch.cat(features), weights[there], lit[there])
        light[alive] = reaching[:, -1]
        begin, size = begin + size, min(2 * size, _MOST) if begin else size
        alive = alive[(light[alive] > hidden) & (starts[alive] + begin < ends[alive])]


def points(
    rays: Rays, ray: Int[Tensor, "sample"], t: Float[Tensor, "sample"]
) -> Float[Tensor, "sample 3"]:
    """Where samples of the rays are."""
    return torch.addcmul(rays.origins[ray], rays.directions[ray], t[:, None])
