"""The voxel field's arithmetic on packed samples, forward and backward, without gradients.

plain.py is the readable twin: autograd through the same equations, several times slower. Here
every array is read and written as few times as possible:

- features are gathered only for samples that can be seen, and the faintest of these are kept at
  random with a probability in proportion to their weight, and count the more for it (Russian
  roulette; the expectation is exact);
- the gradient of a feature goes to one corner of its cell on each lattice, chosen with the
  probability of its trilinear weight: the expectation is that of all eight, at an eighth of the
  cost.

The functions are run by TorchScript (see ../parallel.py), which is why they take and give plain
tensors; shapes are in the comments.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..parallel import unlocked
from ..walk import Walk, march, parameter

# Spacing of the lattices, in cells. What is smooth is learned on the coarse one, which each ray
# touches in fewer places: the same quality takes fewer steps.
SPACINGS = (1, 4)
# The density of an empty table: what is not touched by any ray stays clear.
SHIFT = -6.0


class Table(NamedTuple):
    """A voxel grid and its values, as tensors.

    Attributes:
        density, features: (row, 1), (row, channel).
        blocks, number: which blocks of cells, and which cells, are occupied (see Occupancy).
        rows: (cell, corner) rows of the corners, the fine lattice's eight first.
        share: (3, cell) where a cell lies in its coarse cell.
    """

    density: Tensor
    features: Tensor
    blocks: Tensor
    number: Tensor
    rows: Tensor
    share: Tensor


class Found(NamedTuple):
    """What rays meet, and all that the gradients need of how it came about.

    Attributes:
        feature, opacity, depth: (ray, channel), (ray,), (ray,).
        ray, starts: the samples' rays, and the rays' first samples.
        cell, weight, raw, passed: (sample,) number of the cell; share in the ray's colour; density
            before its activation; light that is left behind the sample.
        rows, weights: (sample, corner).
        seen: (seen,) the samples whose features are gathered; of each of them:
        share: its weight in the sum;
        found: its feature (seen, channel);
        within: its place in the fine and the coarse cell (6, seen).
        scale: (sample,) factor of the density's gradient; empty where that is one.
        spread: (ray,) how far apart what a ray meets lies (see `distortion`); zero if not wanted;
        apart: (sample,) its gradient with respect to the weights; empty if not wanted.
    """

    feature: Tensor
    opacity: Tensor
    depth: Tensor
    ray: Tensor
    starts: Tensor
    cell: Tensor
    weight: Tensor
    raw: Tensor
    passed: Tensor
    rows: Tensor
    weights: Tensor
    seen: Tensor
    share: Tensor
    found: Tensor
    within: Tensor
    scale: Tensor
    spread: Tensor
    apart: Tensor


@unlocked
def trilinear(within: Tensor) -> Tensor:
    """Weights (..., 8, sample) of corners (z innermost) for places in cells (3, ..., sample)."""
    x, y, z = within.unbind(0)
    back_x, back_y, back_z = 1 - x, 1 - y, 1 - z
    near, left, right, far = back_x * back_y, back_x * y, x * back_y, x * y
    return torch.stack(
        [
            near * back_z,
            near * z,
            left * back_z,
            left * z,
            right * back_z,
            right * z,
            far * back_z,
            far * z,
        ],
        dim=-2,
    )


@unlocked
def corner_weights(share: Tensor, cell: Tensor, within: Tensor) -> Tensor:
    """Weights (sample, 16) of the corners of both lattices."""
    coarse = torch.add(share.index_select(1, cell), within, alpha=1 / 4)
    # Row by row, and turned at the end: to write every 16th number is what takes time.
    return trilinear(torch.stack([within, coarse], dim=1)).view(16, -1).t().contiguous()


@unlocked
def even(uniform: Tensor, ray: Tensor) -> Tensor:
    """Random numbers (number, sample) from those of the samples' rays (number, ray).

    A ray's number moves on by the golden ratio from sample to sample: each one is even in [0, 1),
    and neighbours are unlike one another. Integers keep it exact for any number of samples.
    """
    step = torch.arange(ray.size(0), device=ray.device).mul_(40503).bitwise_and_(65535)
    return uniform.index_select(1, ray).add_(step * (1 / 65536)).frac_()


@unlocked
def sums_along_rays(
    values: Tensor, ray: Tensor, starts: Tensor, rectangle: bool = False
) -> tuple[Tensor, Tensor]:
    """Sums (sample,) of each ray's values up to each sample, itself included; and of whole rays.

    In double precision, where the device has it: what is left of a ray is a small difference of
    them, and Adam takes a full step where a gradient is nothing but rounding.

    Args:
        rectangle: sum in a rectangle (ray, sample) instead, as a device must that has no double
            precision, which a running sum over all rays needs.
    """
    if rectangle or values.device.type == "mps":
        counts = starts[1:] - starts[:-1]
        longest = int(counts.max()) if counts.size(0) > 0 else 0
        place = torch.arange(ray.size(0), device=ray.device) - starts.index_select(0, ray)
        place.add_(ray * longest)
        dense = torch.zeros(counts.size(0) * longest, device=values.device)
        sums = dense.index_copy_(0, place, values).view(-1, max(longest, 1)).cumsum(1)
        total = sums[:, -1] if longest > 0 else torch.zeros_like(counts).float()
        return sums.view(-1).index_select(0, place), total
    running = F.pad(values.cumsum(0, dtype=torch.float64), [1, 0])
    at_start = running.index_select(0, starts)
    return running[1:] - at_start.index_select(0, ray), at_start[1:] - at_start[:-1]


@unlocked
def distortion(
    weight: Tensor, s: Tensor, length: float, ray: Tensor, starts: Tensor
) -> tuple[Tensor, Tensor]:
    """How far apart what each ray meets lies (ray,), and its gradient with respect to the weights.

    D = sum_ij w_i w_j |s_i - s_j| + 1/3 sum_i w_i^2 length (mip-NeRF 360, equation 15): none for
    a thin surface, much for fog. With the places in order, the sum over pairs is two running sums.

    Args:
        s: (sample,) places;
        length: that a sample stands for, in the same unit.
    """
    moment = weight * s
    weights, all_weights = sums_along_rays(weight, ray, starts)
    moments, all_moments = sums_along_rays(moment, ray, starts)
    nearer = s * (weights - weight) - (moments - moment)
    farther = (all_moments.index_select(0, ray) - moments) - s * (
        all_weights.index_select(0, ray) - weights
    )
    gradient = (nearer + farther).float().mul_(2).add_(weight, alpha=2 / 3 * length)
    value = torch.zeros_like(all_weights).float()
    return value.index_add_(0, ray, 0.5 * weight * gradient), gradient


@unlocked
def integrate(
    table: Table,
    walk: Walk,
    block_dims: list[int],
    dims: list[int],
    uniform: Tensor,
    noise: Tensor,
    faintest: float,
    roulette: float,
    fade: float,
    step: float,
    coloured: int,
    unit: float,
) -> Found:
    """March rays through the grid and sum what they meet.

    Args:
        uniform: (8, ray) random numbers; the first places the samples in their steps.
        noise: added to the samples' densities before the activation, over and over; or empty.
        faintest: samples below this weight are left out,
        roulette: and those below this one are kept at random.
        fade: distance from the camera within which the density's gradient falls with its square.
        step: between samples, in cells; the gradients are those of a step of one.
        coloured: so many rays get features; of the rest opacity alone is wanted.
        unit: of the distortion, a cell's length; 0 where that is not wanted.
    """
    ray, s, cell, within, starts = march(
        walk, uniform[0], table.blocks, block_dims, table.number, dims, step
    )
    rows = table.rows.index_select(0, cell)
    weights = corner_weights(table.share, cell, within)
    raw = F.embedding_bag(rows, table.density, mode="sum", per_sample_weights=weights).view(-1)
    raw.add_(-6.0)
    if noise.size(0) > 0:
        raw.add_(noise.repeat(raw.size(0) // noise.size(0) + 1)[: raw.size(0)])
    thickness = F.softplus(raw).mul_(step)
    so_far, total = sums_along_rays(thickness, ray, starts)
    passed = so_far.float()
    # What arrives at a sample, and the share of it that the sample takes.
    weight = (thickness - passed).exp_().mul_(torch.expm1(-thickness).neg_())
    passed.neg_().exp_()
    opacity = -torch.expm1(-total.float())

    featured = weight
    if coloured < opacity.size(0):
        featured = weight[: int(starts[coloured])]  # samples are in the order of their rays
    if roulette > 0:
        chance = even(uniform[1:2], ray[: featured.size(0)])[0]
        seen = (featured > chance.mul_(roulette).clamp_min_(1e-6)).nonzero().squeeze(1)
        share = weight.index_select(0, seen).clamp_min_(roulette)
    else:
        seen = (featured > faintest).nonzero().squeeze(1)
        share = weight.index_select(0, seen)
    seen_ray = ray.index_select(0, seen)
    found = F.embedding_bag(
        rows.index_select(0, seen),
        table.features,
        mode="sum",
        per_sample_weights=weights.index_select(0, seen),
    )
    count = torch.bincount(seen_ray, minlength=walk.start.size(0))
    order = torch.arange(seen.size(0), device=ray.device)
    feature = F.embedding_bag(
        order, found, count.cumsum(0) - count, mode="sum", per_sample_weights=share
    )
    t = parameter(walk, seen_ray, s.index_select(0, seen))
    depth = torch.zeros_like(opacity).index_add_(0, seen_ray, t * share)
    fine = within.index_select(1, seen)
    coarse = table.share.index_select(1, cell.index_select(0, seen))
    places = torch.cat([fine, torch.add(coarse, fine, alpha=1 / 4)], dim=0)
    scale = torch.zeros(0, device=ray.device)
    if fade > 0:
        scale = (parameter(walk, ray, s) / fade).clamp_max_(1).square_()
    apart, value = torch.zeros(0, device=ray.device), torch.zeros_like(opacity)
    if unit > 0:
        value, apart = distortion(weight, s * unit, step * unit, ray, starts)
    return Found(
        feature, opacity, depth, ray, starts, cell, weight, raw, passed,
        rows, weights, seen, share, found, places, scale, value, apart,
    )  # fmt: skip


@unlocked
def differentiate(
    found: Found,
    uniform: Tensor,
    grad_feature: Tensor,
    grad_opacity: Tensor,
    grad_spread: Tensor,
    size: int,
    one_corner: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the density table (row,), and of touched rows of the feature table.

    With L the loss, w the weights and T the light that passes a sample: a change of the thickness
    at a sample moves its own weight by T, and takes light from all behind it:
    dL/dthickness_i = dL/dw_i T_i - sum_{j > i} dL/dw_j w_j.

    Args:
        uniform: (8, ray) the random numbers of the forward pass.
        size: rows of the tables.
        one_corner: give a feature's gradient to one corner of each lattice.
    """
    ray, seen = found.ray, found.seen
    seen_ray = ray.index_select(0, seen)
    of_ray = grad_feature.index_select(0, seen_ray)
    of_seen = (found.found * of_ray).sum(dim=1)
    # A sample that roulette kept stands for others: its share is above its weight.
    of_seen.mul_(found.share / found.weight.index_select(0, seen))
    grad_weight = torch.zeros_like(found.weight).index_copy_(0, seen, of_seen)
    if found.apart.numel() > 0:
        grad_weight.addcmul_(found.apart, grad_spread.index_select(0, ray))

    so_far, total = sums_along_rays(grad_weight * found.weight, ray, found.starts)
    total.sub_(grad_opacity * (1 - found.opacity))
    later = total.index_select(0, ray).sub_(so_far).float()
    grad_raw = torch.sigmoid(found.raw).mul_(grad_weight.mul_(found.passed).sub_(later))
    if found.scale.numel() > 0:
        grad_raw.mul_(found.scale)
    grad_density = torch.zeros(size, device=ray.device)
    grad_density.index_add_(0, found.rows.view(-1), (found.weights * grad_raw[:, None]).view(-1))

    rows = found.rows.index_select(0, seen)
    grad_found = of_ray * found.share[:, None]
    if one_corner:
        # Far or near along each axis, with the probability of its weight.
        far = (even(uniform[2:8], seen_ray) < found.within).long().view(2, 3, -1)
        corner = far[:, 0] * 4 + far[:, 1] * 2 + far[:, 2]
        corner[1].add_(8)
        touched = rows.gather(1, corner.t()).t().reshape(-1)
        return grad_density, touched.long(), grad_found.repeat(2, 1)
    weights = found.weights.index_select(0, seen)
    values = grad_found[:, None] * weights[:, :, None]
    return grad_density, rows.view(-1).long(), values.flatten(0, 1)
