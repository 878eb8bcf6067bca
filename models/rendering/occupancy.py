"""Rendering through an occupancy grid: samples only where there is something, front to back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from geometry.rays import Rays
from models.field import Field
from models.grids.cells import OccupiedCells
from models.grids.occupancy import OccupancyGrid
from models.grids.samples import RaySamples
from models.grids.traversal import s_to_t, t_to_s
from models.parallel import scaled_for_device

from .march import march_front_to_back
from .output import RenderOutput
from .packed import composite_packed, packed_weight_from_density
from .renderer import TrainingMode
from .sampling import INFINITY

# Samples of a ray that are evaluated together, before it is known whether the next can be seen:
# few at first, as most rays end soon after they meet something.
_FIRST, _MOST = 4, 32
# Points at a time where no gradient is taken: activations that stay in the processor's cache.
_BLOCK = 16384


@dataclass(frozen=True)
class OccupancyMarchConfig:
    """How an occupancy grid is marched through. Part of a checkpoint's recipe.

    Args:
        step: between the samples of a picture, in cells; at most 1.
        training_step: between those of a training step, whose places are random: what it averages
            over many steps, a picture shows at once.
        early_stop_eps: a ray ends where no more transmittance is left; its colour is off by no
            more than that.
        weight_threshold: samples of a picture with no more weight get no colour.
        training_weight_threshold: the same in training; 0 is exact. A field whose density is
            nowhere zero would spend most of its time on colours.
        opaque_far: where a ray's far end is reached, the last sample stands for all behind it, as
            in `sample_lengths`. Not for a field without empty space in a box: a ray that ends
            within the box would meet a wall there.
    """

    step: float = 0.5
    training_step: float = 1.0
    early_stop_eps: float = 1e-3
    weight_threshold: float = 1e-4
    training_weight_threshold: float = 0.0
    opaque_far: bool = True

    def __post_init__(self) -> None:
        if not (0.01 <= self.step <= 1 and 0.01 <= self.training_step <= 100):
            raise ValueError(f"samples {self.step} and {self.training_step} cells apart")


@dataclass(frozen=True)
class OccupancyRenderer:
    """Evaluates a field in occupied cells only, and not behind what is opaque.

    Args:
        field: its colours are computed for each sample.
        occupancy: where it may have density, of a trained field or of one in training.
        background: grey level behind everything.
        config: how the cells are marched through.
        chunk: samples that a network evaluates at once when an image is rendered.
    """

    field: Field
    occupancy: OccupiedCells | OccupancyGrid
    background: float = 0.0
    config: OccupancyMarchConfig = OccupancyMarchConfig()
    chunk: int = 32 * 1024

    @property
    def rays_per_chunk(self) -> int:
        """So many rays that `chunk` samples at most are evaluated at once."""
        return self.chunk // _MOST

    @torch.no_grad()
    def __call__(self, rays: Rays) -> RenderOutput:
        """The rendering, the same each time."""
        config = self.config
        samples = self.sample(rays, config.step)
        rgb = rays.origins.new_zeros(len(rays), 3)
        depth, opacity = rgb.new_zeros(2, len(rays))
        for part in evaluate_front_to_back(self.field, rays, samples, config.early_stop_eps):
            ray = samples.ray_indices[part.index]
            opacity.index_add_(0, ray, part.weights)
            depth.index_add_(0, ray, part.weights * samples.t[part.index])
            visible = (part.weights > config.weight_threshold).nonzero().squeeze(1)
            ray = ray[visible]
            colour = self.field.color(part.feature[visible], rays.viewdirs[ray]).to(rgb.dtype)
            rgb.index_add_(0, ray, part.weights[visible, None] * colour)
        return RenderOutput(rgb + self.background * (1 - opacity[:, None]), depth, opacity)

    def render_train(self, rays: Rays, mode: TrainingMode) -> dict[str, RenderOutput]:
        """The rendering ("fine"), with samples moved along each ray and noisy densities.

        As in `shade`, a first pass without gradients finds the samples that can be seen, and only
        these are evaluated again with what gradients need.
        """
        config, device = self.config, rays.near.device
        jitter = noise = None
        if mode.perturb:
            random = torch.rand(len(rays), generator=mode.generator, device=device)
            jitter = 0.5 + mode.perturb * (random - 0.5)
        samples = self.sample(rays, config.training_step, jitter)
        if mode.noise_std > 0:
            noise = torch.randn(len(samples), generator=mode.generator, device=device)
            noise = mode.noise_std * noise
        lit = torch.zeros(len(samples), dtype=torch.bool, device=device)
        evaluated = 0
        with torch.no_grad():
            for part in evaluate_front_to_back(
                self.field, rays, samples, 0.1 * config.early_stop_eps, noise
            ):
                lit[part.index[part.lit]] = True
                evaluated += len(part.index)
        samples = samples.select(lit)
        raw, feature = self.field.density(points(rays, samples.ray_indices, samples.t))
        raw = raw.to(samples.t.dtype)  # compositing is not done in half precision
        sigma = self.field.activation(raw if noise is None else raw + noise[lit])
        weights = packed_weight_from_density(sigma, samples)
        colored = (weights.detach() > config.training_weight_threshold).nonzero().squeeze(1)
        viewdirs = rays.viewdirs[samples.ray_indices[colored]]
        colour = self.field.color(feature[colored], viewdirs).to(samples.t.dtype)
        rgb = samples.t.new_zeros(len(samples), 3).index_copy(0, colored, colour)
        behind = self.background if mode.background is None else mode.background
        output = composite_packed(weights, rgb, samples, behind)
        return {"fine": replace(output, n_samples=evaluated)}

    @torch.no_grad()
    def sample(
        self, rays: Rays, step: float, jitter: Float[Tensor, "ray"] | None = None
    ) -> RaySamples:
        """The samples of the rays in occupied cells, before their far ends.

        The cells of an unbounded region go on behind these, where a network that was trained with
        the two passes has never been.

        Args:
            step: between samples, in cells.
            jitter: where in its step each ray's samples are, from 0 to 1; by default the middle.
        """
        grid_rays = self.occupancy.lattice.grid_rays(rays)
        end = torch.minimum(grid_rays.end, t_to_s(grid_rays, rays.far))
        grid_rays = grid_rays._replace(end=end)
        samples = self.occupancy.sample(grid_rays, jitter, step)
        # In the units of the directions, which are not of unit length in NDC.
        lengths = samples.deltas * rays.directions.norm(dim=1)[samples.ray_indices]
        if self.config.opaque_far:
            every = torch.arange(len(rays), device=end.device)
            to_far = s_to_t(grid_rays, every, end) > rays.far * (1 - 1e-4)
            last = to_far[samples.ray_indices] & (samples.s + step >= end[samples.ray_indices])
            lengths = lengths.masked_fill(last, INFINITY)
        return replace(samples, deltas=lengths)


@dataclass(frozen=True)
class Part:
    """Samples that were evaluated together.

    Attributes:
        index: of the samples.
        feature: of the field there, for its colours.
        weights: their weights in the colours of their rays.
        lit: there is density, and light to see it by.
    """

    index: Int[Tensor, "sample"]
    feature: Float[Tensor, "sample channel"]
    weights: Float[Tensor, "sample"]
    lit: Bool[Tensor, "sample"]


def evaluate_front_to_back(
    field: Field,
    rays: Rays,
    samples: RaySamples,
    early_stop_eps: float,
    noise: Float[Tensor, "sample"] | None = None,
) -> Iterator[Part]:
    """Evaluate the field's densities at some samples of each ray after the other, no gradients.

    Args:
        early_stop_eps: a ray ends once no more transmittance is left.
        noise: added to the density before its activation.
    """
    starts, ends = samples.starts[:-1], samples.starts[1:]

    def evaluate(number: int, alive: Tensor, transmittance: Tensor) -> tuple[Tensor, Part]:
        begin, size = _part(number)
        grid = starts[alive, None] + begin + torch.arange(size, device=alive.device)
        exists = grid < ends[alive, None]
        index = grid[exists]
        raws, features = [], []
        for some in index.split(scaled_for_device(_BLOCK, index.device)):
            x = points(rays, samples.ray_indices[some], samples.t[some])
            raw, feature = field.density(x)
            raws.append(raw.to(samples.t.dtype))
            features.append(feature)
        raw = torch.cat(raws)
        sigma = field.activation(raw if noise is None else raw + noise[index])
        thickness = torch.zeros(exists.shape, dtype=sigma.dtype, device=sigma.device)
        thickness.masked_scatter_(exists, sigma * samples.deltas[index])
        passed = torch.exp(-thickness.cumsum(dim=1))
        arriving = transmittance[:, None] * torch.cat([torch.ones_like(passed[:, :1]), passed], 1)
        arriving = arriving[:, :-1]
        weights = arriving * -torch.expm1(-thickness)
        lit = (thickness > 0) & (arriving > early_stop_eps)
        part = Part(index, torch.cat(features), weights[exists], lit[exists])
        return passed[:, -1], part

    def unfinished(number: int, alive: Tensor) -> Tensor:
        return starts[alive] + _part(number)[0] < ends[alive]

    march = march_front_to_back(len(rays), evaluate, unfinished, early_stop_eps, rays.near.device)
    for _, _, part in march:
        yield part


def _part(number: int) -> tuple[int, int]:
    """First sample and size of a part: _FIRST, twice, then ever more, up to _MOST."""
    begin, size = 0, _FIRST
    for i in range(number):
        begin, size = begin + size, min(2 * size, _MOST) if i else size
    return begin, size


def points(
    rays: Rays, ray_indices: Int[Tensor, "sample"], t: Float[Tensor, "sample"]
) -> Float[Tensor, "sample 3"]:
    """Where samples of the rays are."""
    return torch.addcmul(rays.origins[ray_indices], rays.directions[ray_indices], t[:, None])
