"""The voxel field's arithmetic on packed samples, forward and backward, without gradients.

reference.py is the readable twin: autograd through the same equations, several times slower. Here
every array is read and written as few times as possible:

- features are gathered only for samples that can be seen; those of the least weight are kept at
  random with a probability in proportion to it, and count the more for it (Russian roulette; the
  expectation is exact);
- the gradient of a feature goes to one corner of its cell on each lattice, chosen with the
  probability of its trilinear weight: the expectation is that of all eight, at an eighth of the
  cost.

The functions are run by TorchScript (see models/parallel.py), which is why they take and give plain
tensors; shapes are in the comments.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.grids.traversal import GridRays, s_to_t, traverse
from models.parallel import scripted

# Spacing of the lattices, in cells. What is smooth is learned on the coarse one, which each ray
# touches in fewer places: the same quality takes fewer steps.
SPACINGS = (1, 4)
# The density of an empty table: what is not touched by any ray stays clear.
# Both are part of checkpoint format 2: other values need another format_version.
DENSITY_SHIFT = -6.0


class GridTables(NamedTuple):
    """A voxel grid and its values, as tensors.

    Attributes:
        density, features: (row, 1), (row, channel).
        blocks, number: which blocks of cells, and which cells, are occupied (see OccupiedCells).
        rows: (cell, corner) rows of the corners, the fine lattice's eight first.
        coarse_offset: (3, cell) where a cell lies in its coarse cell.
    """

    density: Tensor
    features: Tensor
    blocks: Tensor
    number: Tensor
    rows: Tensor
    coarse_offset: Tensor


class RayIntegral(NamedTuple):
    """The volume rendering integral along rays, and all that its gradients need.

    Attributes:
        feature, opacity, depth: (ray, channel), (ray,), (ray,).
        ray, starts: the samples' rays, and the rays' first samples.
        s: (sample,) places on the rays; within: (3, sample) places in the cells.
        cell, weight, raw: (sample,) number of the cell; weight in the ray's colour; density before
            its activation.
        transmittance: (sample,) light that is left behind the sample.
        rows, weights: (sample, corner).
        visible: (visible,) the samples whose features are gathered; of each of them:
        visible_weight: its weight in the sum;
        visible_feature: (visible, channel);
        visible_place: (6, visible) its place in the fine and the coarse cell.
        density_grad_scale: (sample,) factor of the density's gradient; empty where that is one.
        distortion: (ray,) as in `distortion`; zero if not wanted;
        distortion_grad: (sample,) its gradient with respect to the weights; empty if not wanted.
    """

    feature: Tensor
    opacity: Tensor
    depth: Tensor
    ray: Tensor
    starts: Tensor
    s: Tensor
    within: Tensor
    cell: Tensor
    weight: Tensor
    raw: Tensor
    transmittance: Tensor
    rows: Tensor
    weights: Tensor
    visible: Tensor
    visible_weight: Tensor
    visible_feature: Tensor
    visible_place: Tensor
    density_grad_scale: Tensor
    distortion: Tensor
    distortion_grad: Tensor


@scripted
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


@scripted
def corner_weights(coarse_offset: Tensor, cell: Tensor, within: Tensor) -> Tensor:
    """Weights (sample, 16) of the corners of both lattices."""
    coarse = torch.add(coarse_offset.index_select(1, cell), within, alpha=1 / 4)
    # Row by row, and turned at the end: to write every 16th number is what takes time.
    return trilinear(torch.stack([within, coarse], dim=1)).view(16, -1).t().contiguous()


@scripted
def random_along_rays(uniform: Tensor, ray: Tensor) -> Tensor:
    """Random numbers (number, sample) from those of the samples' rays (number, ray).

    A ray's number moves on by the golden ratio from sample to sample: each one is even in [0, 1),
    and neighbours are unlike one another. Integers keep it exact for any number of samples.
    """
    step = torch.arange(ray.size(0), device=ray.device).mul_(40503).bitwise_and_(65535)
    return uniform.index_select(1, ray).add_(step * (1 / 65536)).frac_()


@scripted
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


@scripted
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


@scripted
def integrate_rays(
    table: GridTables,
    grid_rays: GridRays,
    block_dims: list[int],
    dims: list[int],
    uniform: Tensor,
    noise: Tensor,
    weight_threshold: float,
    roulette: float,
    near_gradient_scaling: float,
    step: float,
    n_colored: int,
    unit: float,
) -> RayIntegral:
    """March rays through the grid and sum what they meet.

    Args:
        uniform: (8, ray) random numbers; the first places the samples in their steps.
        noise: added to the samples' densities before the activation, over and over; or empty.
        weight_threshold: samples below this weight are left out,
        roulette: and those below this one are kept at random.
        near_gradient_scaling: distance from the camera within which the density's gradient falls
            with its square.
        step: between samples, in cells; the gradients are those of a step of one.
        n_colored: so many rays get features; of the rest opacity alone is wanted.
        unit: of the distortion, a cell's length; 0 where that is not wanted.
    """
    ray, s, cell, within, starts = traverse(
        grid_rays, uniform[0], table.blocks, block_dims, table.number, dims, step
    )
    rows = table.rows.index_select(0, cell)
    weights = corner_weights(table.coarse_offset, cell, within)
    raw = F.embedding_bag(rows, table.density, mode="sum", per_sample_weights=weights).view(-1)
    raw.add_(-6.0)
    if noise.size(0) > 0:
        raw.add_(noise.repeat(raw.size(0) // noise.size(0) + 1)[: raw.size(0)])
    thickness = F.softplus(raw).mul_(step)
    so_far, total = sums_along_rays(thickness, ray, starts)
    transmittance = so_far.float()
    # What arrives at a sample, and the share of it that the sample takes.
    weight = (thickness - transmittance).exp_().mul_(torch.expm1(-thickness).neg_())
    transmittance.neg_().exp_()
    opacity = -torch.expm1(-total.float())

    colored = weight
    if n_colored < opacity.size(0):
        colored = weight[: int(starts[n_colored])]  # samples are in the order of their rays
    if roulette > 0:
        chance = random_along_rays(uniform[1:2], ray[: colored.size(0)])[0]
        visible = (colored > chance.mul_(roulette).clamp_min_(1e-6)).nonzero().squeeze(1)
        visible_weight = weight.index_select(0, visible).clamp_min_(roulette)
    else:
        visible = (colored > weight_threshold).nonzero().squeeze(1)
        visible_weight = weight.index_select(0, visible)
    visible_ray = ray.index_select(0, visible)
    visible_feature = F.embedding_bag(
        rows.index_select(0, visible),
        table.features,
        mode="sum",
        per_sample_weights=weights.index_select(0, visible),
    )
    count = torch.bincount(visible_ray, minlength=grid_rays.start.size(0))
    order = torch.arange(visible.size(0), device=ray.device)
    feature = F.embedding_bag(
        order,
        visible_feature,
        count.cumsum(0) - count,
        mode="sum",
        per_sample_weights=visible_weight,
    )
    t = s_to_t(grid_rays, visible_ray, s.index_select(0, visible))
    depth = torch.zeros_like(opacity).index_add_(0, visible_ray, t * visible_weight)
    fine = within.index_select(1, visible)
    coarse = table.coarse_offset.index_select(1, cell.index_select(0, visible))
    visible_place = torch.cat([fine, torch.add(coarse, fine, alpha=1 / 4)], dim=0)
    density_grad_scale = torch.zeros(0, device=ray.device)
    if near_gradient_scaling > 0:
        scale = s_to_t(grid_rays, ray, s) / near_gradient_scaling
        density_grad_scale = scale.clamp_max_(1).square_()
    distortion_grad, value = torch.zeros(0, device=ray.device), torch.zeros_like(opacity)
    if unit > 0:
        value, distortion_grad = distortion(weight, s * unit, step * unit, ray, starts)
    return RayIntegral(
        feature, opacity, depth, ray, starts, s, within, cell, weight, raw, transmittance,
        rows, weights, visible, visible_weight, visible_feature, visible_place,
        density_grad_scale, value, distortion_grad,
    )  # fmt: skip


@scripted
def integrate_rays_backward(
    integral: RayIntegral,
    uniform: Tensor,
    grad_feature: Tensor,
    grad_opacity: Tensor,
    grad_distortion: Tensor,
    size: int,
    one_corner: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the density table (row,), and of touched rows of the feature table; of the
    samples' densities before their activation (sample,), and of visible features.

    With L the loss, w the weights and T the light that passes a sample: a change of the thickness
    at a sample moves its own weight by T, and takes light from all behind it:
    dL/dthickness_i = dL/dw_i T_i - sum_{j > i} dL/dw_j w_j.

    Args:
        uniform: (8, ray) the random numbers of the forward pass.
        size: rows of the tables.
        one_corner: give a feature's gradient to one corner of each lattice.
    """
    ray, visible = integral.ray, integral.visible
    visible_ray = ray.index_select(0, visible)
    of_ray = grad_feature.index_select(0, visible_ray)
    of_visible = (integral.visible_feature * of_ray).sum(dim=1)
    # A sample that roulette kept stands for others: its share is above its weight.
    of_visible.mul_(integral.visible_weight / integral.weight.index_select(0, visible))
    grad_weight = torch.zeros_like(integral.weight).index_copy_(0, visible, of_visible)
    if integral.distortion_grad.numel() > 0:
        grad_weight.addcmul_(integral.distortion_grad, grad_distortion.index_select(0, ray))

    so_far, total = sums_along_rays(grad_weight * integral.weight, ray, integral.starts)
    total.sub_(grad_opacity * (1 - integral.opacity))
    later = total.index_select(0, ray).sub_(so_far).float()
    grad_raw = torch.sigmoid(integral.raw).mul_(
        grad_weight.mul_(integral.transmittance).sub_(later)
    )
    if integral.density_grad_scale.numel() > 0:
        grad_raw.mul_(integral.density_grad_scale)
    grad_density = torch.zeros(size, device=ray.device)
    grad_density.index_add_(
        0, integral.rows.view(-1), (integral.weights * grad_raw[:, None]).view(-1)
    )

    rows = integral.rows.index_select(0, visible)
    grad_feature_of = of_ray * integral.visible_weight[:, None]
    if one_corner:
        # Far or near along each axis, with the probability of its weight.
        far = (
            (random_along_rays(uniform[2:8], visible_ray) < integral.visible_place)
            .long()
            .view(2, 3, -1)
        )
        corner = far[:, 0] * 4 + far[:, 1] * 2 + far[:, 2]
        corner[1].add_(8)
        touched = rows.gather(1, corner.t()).t().reshape(-1)
        return grad_density, touched.long(), grad_feature_of.repeat(2, 1), grad_raw, grad_feature_of
    weights = integral.weights.index_select(0, visible)
    values = grad_feature_of[:, None] * weights[:, :, None]
    return grad_density, rows.view(-1).long(), values.flatten(0, 1), grad_raw, grad_feature_of
