"""The volume rendering integral over the samples of a voxel grid, with gradients by hand.

`render_plainly` in plain.py is the readable twin: autograd through the same equations, several
times slower. Here every array is read and written as few times as possible:

- features are gathered only for samples that can be seen, and the faintest of these are kept at
  random with a probability in proportion to their weight, and count the more for it (Russian
  roulette; the expectation is exact);
- the gradient of a feature goes to one corner of its cell, chosen with the probability of its
  trilinear weight: the expectation is that of all eight, at an eighth of the cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from datasets.rays import Rays

from ..occupancy import Samples
from ..parallel import parallel, parts_for
from .grid import SPACINGS, VoxelGrid

# The density of an empty table: what is not touched by any ray stays clear.
SHIFT = -6.0
# Below this weight a sample is dropped (rendering) or kept at random (training).
_FAINT, _ROULETTE = 1e-3, 0.02


@dataclass(frozen=True)
class Randomness:
    """What is random in a training step, for each ray and by a seed."""

    jitter: Float[Tensor, "ray"]
    seed: int
    roulette: float = _ROULETTE
    one_corner: bool = True


@dataclass
class Integral:
    """What rays meet: features, opacity and depth, weighted by visibility; and how it came about."""

    feature: Float[Tensor, "ray channel"]
    opacity: Float[Tensor, "ray"]
    depth: Float[Tensor, "ray"]
    samples: Samples
    weight: Float[Tensor, "sample"]
    kept: dict[str, Any]


def integrate(
    grid: VoxelGrid,
    density: Float[Tensor, "row 1"],
    features: Float[Tensor, "row channel"],
    rays: Rays,
    randomness: Randomness | None,
    part: int = 0,
) -> Integral:
    """March rays through the grid and sum what they meet; no gradients."""
    walk = grid.lattice.walk(rays)
    samples = grid.march(walk, None if randomness is None else randomness.jitter)
    ray, starts = samples.ray, samples.starts
    rows = grid.rows.index_select(0, samples.cell)
    weights, places = grid.weights(samples.cell, samples.within)
    raw = F.embedding_bag(rows, density, mode="sum", per_sample_weights=weights).view(-1)
    raw.add_(SHIFT)
    thickness = F.softplus(raw)

    behind, total = transmittance(thickness, ray, starts)
    before = torch.ones_like(behind)
    before[1:] = behind[:-1]
    before.index_fill_(0, starts[:-1][starts[:-1] < starts[1:]], 1.0)
    weight = before.sub_(behind)
    opacity = -torch.expm1(-total)

    if randomness is not None and randomness.roulette > 0:
        generator = torch.Generator(weight.device).manual_seed(randomness.seed + part)
        chance = torch.rand(weight.shape, generator=generator, device=weight.device)
        seen = (weight > chance.mul_(randomness.roulette)).nonzero().squeeze(1)
        share = weight.index_select(0, seen).clamp_min_(randomness.roulette)
    else:
        generator = None
        if randomness is not None:
            generator = torch.Generator(weight.device).manual_seed(randomness.seed + part)
        seen = (weight > (_FAINT if randomness is None else 0.0)).nonzero().squeeze(1)
        share = weight.index_select(0, seen)
    seen_ray = ray.index_select(0, seen)
    seen_rows = rows.index_select(0, seen)
    seen_weights = weights.index_select(0, seen)
    found = F.embedding_bag(seen_rows, features, mode="sum", per_sample_weights=seen_weights)
    count = torch.bincount(seen_ray, minlength=len(rays))
    order = torch.arange(len(seen), device=ray.device)
    bags = count.cumsum(0) - count
    feature = F.embedding_bag(order, found, bags, mode="sum", per_sample_weights=share)
    t = walk.t(seen_ray, samples.s.index_select(0, seen))
    depth = torch.zeros_like(opacity).index_add_(0, seen_ray, t.mul_(share))
    kept = {}
    if randomness is not None:
        kept = {
            "rows": rows,
            "weights": weights,
            "raw": raw,
            "behind": behind,
            "seen": seen,
            "share": share,
            "seen_ray": seen_ray,
            "seen_rows": seen_rows,
            "found": found,
            "places": [tuple(axis.index_select(0, seen) for axis in place) for place in places],
            "seen_weights": seen_weights,
            "generator": generator,
            "one_corner": randomness.one_corner,
        }
    return Integral(feature, opacity, depth, samples, weight, kept)


def transmittance(
    thickness: Float[Tensor, "sample"], ray: Int[Tensor, "sample"], starts: Int[Tensor, "ray+1"]
) -> tuple[Float[Tensor, "sample"], Float[Tensor, "ray"]]:
    """The share of light that passes each sample, and the optical thickness of each whole ray."""
    # One running sum over all rays, in double precision as it grows large.
    running = F.pad(thickness.cumsum(0, dtype=torch.float64), (1, 0))
    at_start = running[starts]
    total = (at_start[1:] - at_start[:-1]).float()
    passed = running[1:] - at_start.index_select(0, ray)
    return passed.float().neg_().exp_(), total


def differentiate(
    integral: Integral,
    grid: VoxelGrid,
    grad_feature: Float[Tensor, "ray channel"],
    grad_opacity: Float[Tensor, "ray"],
    grad_weight: Float[Tensor, "sample"] | None = None,
) -> tuple[Float[Tensor, "row"], Int[Tensor, "touched"], Float[Tensor, "touched channel"]]:
    """Gradients of the density table, and of touched rows of the feature table.

    With L the loss, w the weights and T the light that passes a sample: a change of the thickness
    at a sample moves its own weight by T, and takes light from all behind it:
    dL/dthickness_i = dL/dw_i T_i - sum_{j > i} dL/dw_j w_j.
    """
    kept, samples = integral.kept, integral.samples
    ray, starts, seen_ray, share = samples.ray, samples.starts, kept["seen_ray"], kept["share"]
    feature_of_ray = grad_feature.index_select(0, seen_ray)
    of_seen = (kept["found"] * feature_of_ray).sum(dim=1)
    weight = integral.weight
    # A sample that roulette kept stands for others: its share is above its weight.
    of_seen.mul_(share / weight.index_select(0, kept["seen"]))
    grad_w = torch.zeros_like(weight) if grad_weight is None else grad_weight.clone()
    grad_w.index_add_(0, kept["seen"], of_seen)

    running = F.pad((grad_w * weight).cumsum(0, dtype=torch.float64), (1, 0))
    end = running[starts[1:]] + (grad_opacity * (1 - integral.opacity)).neg_()
    later = (end.index_select(0, ray) - running[1:]).float()
    grad_raw = torch.sigmoid(kept["raw"]).mul_(grad_w.mul_(kept["behind"]).sub_(later))
    grad_density = torch.zeros(grid.size, device=weight.device)
    grad_density.scatter_add_(
        0, kept["rows"].view(-1).long(), (kept["weights"] * grad_raw[:, None]).view(-1)
    )

    grad_found = feature_of_ray.mul_(share[:, None])
    if kept["one_corner"]:
        touched = []
        for level, place in enumerate(kept["places"]):
            corner = None
            for axis in place:  # far or near along each axis, with the probability of its weight
                chance = torch.rand(axis.shape, generator=kept["generator"], device=axis.device)
                far = chance < axis
                corner = far.long() if corner is None else corner.mul_(2).add_(far)
            corner.add_(8 * level)
            touched.append(kept["seen_rows"].gather(1, corner[:, None]).view(-1))
        return grad_density, torch.cat(touched).long(), grad_found.repeat(len(SPACINGS), 1)
    values = grad_found[:, None] * kept["seen_weights"][..., None]
    return grad_density, kept["seen_rows"].view(-1).long(), values.flatten(0, 1)


class RenderVoxels(torch.autograd.Function):
    """(density, features) -> feature, opacity and depth of each ray; depth takes no gradient."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        density: Tensor,
        features: Tensor,
        grid: VoxelGrid,
        rays: Rays,
        randomness: Randomness | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        count = parts_for(density.device)
        size = max(1, -(-len(rays) // count))
        parts = []
        for number, begin in enumerate(range(0, len(rays), size)):
            part = slice(begin, begin + size)
            some = randomness
            if randomness is not None:
                some = Randomness(
                    randomness.jitter[part],
                    randomness.seed,
                    randomness.roulette,
                    randomness.one_corner,
                )
            parts.append((number, rays[part], some))
        ctx.grid, ctx.shape = grid, features.shape
        done = parallel(lambda p: integrate(grid, density, features, p[1], p[2], p[0]), parts)
        if randomness is not None:
            ctx.parts = done
        samples = torch.tensor(sum(len(part.samples) for part in done))
        ctx.mark_non_differentiable(samples)
        return (
            torch.cat([part.feature for part in done]),
            torch.cat([part.opacity for part in done]),
            torch.cat([part.depth for part in done]),
            samples,
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:  # type: ignore[override]
        sizes = [len(part.opacity) for part in ctx.parts]
        parts = list(zip(ctx.parts, grads[0].split(sizes), grads[1].split(sizes), strict=True))
        done = parallel(lambda p: differentiate(p[0], ctx.grid, p[1], p[2]), parts)
        density = done[0][0]
        for other in done[1:]:
            density.add_(other[0])
        rows = torch.cat([part[1] for part in done])
        values = torch.cat([part[2] for part in done])
        features = torch.sparse_coo_tensor(rows[None], values, ctx.shape, check_invariants=False)
        return density[:, None], features, None, None, None
