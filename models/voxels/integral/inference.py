"""The integral along rays for pictures alone: from sample to sample, without gradients.

What kernels.integrate_rays finds part by part (march.py), at the same samples, in far fewer passes
over memory and through less of it:

- empty space is left behind in steps as long as a table of distances allows;
- near something, eight samples of a ray are looked at together, and it goes on only while there
  is light left;
- the eight corners of a cell lie side by side, both lattices added up: one lookup for a sample's
  density instead of sixteen;
- features are gathered for samples that show, and summed along the ray on the way.

TorchScript runs the functions (see models/parallel.py), which is why they take and give plain
tensors; shapes are in the comments.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.grids.traversal import GridRays
from models.parallel import scripted

from .kernels import trilinear


class MergedGrid(NamedTuple):
    """A voxel grid and its values as a picture needs them, both lattices in one.

    Attributes:
        clear: (cell + 1, 8) minus the density before its activation, at each cell's corners; the
            last cell is empty.
        features: (corner, channel).
        rows: (cell, 8) int32, the cells' corners among these.
        number: (cell of the lattice,) int32, its row; that of the empty one where nothing is.
        empty_distance: (cell of the lattice,) uint8; so many cells on, in any direction, nothing is
            occupied. Places outside the lattice count as in the cell at its edge.
    """

    clear: Tensor
    features: Tensor
    rows: Tensor
    number: Tensor
    empty_distance: Tensor


@scripted
def ray_parameters(grid_rays: GridRays, nearest: Tensor, speed: Tensor, s: Tensor) -> Tensor:
    """The rays' own parameter t at s (...); as traversal.s_to_t, with nothing to choose.

    Args:
        nearest, speed: (...) of the rays, as in GridRays, or to be broadcast.
    """
    if nearest.numel() == 0:
        return s / speed
    size = s * (2 * grid_rays.edge[0, 0, 0])
    t = size.clamp(-1, 1)
    # Beyond the inner cube 1 / (2 - |s|) instead of |s|: by so much farther.
    farther = size.abs_().clamp_min_(1).neg_().add_(2).clamp_min_(1e-3).reciprocal_().sub_(1)
    return t.addcmul_(t, farther).add_(nearest).div_(speed)


@scripted
def locate(
    grid_rays: GridRays, origins: Tensor, directions: Tensor, nearest: Tensor, s: Tensor
) -> Tensor:
    """Grid coordinates (3, ...) of the places s (...) on rays; as traversal.grid_coordinates.

    Args:
        origins, directions, nearest: (3, ...) and (...) of the rays, or to be broadcast.
    """
    if nearest.numel() == 0:
        return torch.addcmul(origins, directions, s)
    t = ray_parameters(grid_rays, nearest, torch.ones(1, device=s.device), s)
    x = torch.addcmul(origins, directions, t)
    first, second, third = x.abs().unbind(0)
    inverse = torch.maximum(torch.maximum(first, second), third).clamp_min_(1).reciprocal_()
    x.mul_((2 - inverse).mul_(inverse).mul_(0.5))
    shape = [3] + [1] * (x.dim() - 1)
    return x.sub_(grid_rays.low.view(shape)).div_(grid_rays.edge.view(shape))


@scripted
def flat_cells(place: Tensor, dims: list[int]) -> Tensor:
    """Cells (...) of places (3, ...), in the flattened grid; from outside, one at its edge."""
    x, y, z = place.unbind(0)
    i = x.clamp(0, dims[0] - 1).int()
    i = i.mul_(dims[1]).add_(y.clamp(0, dims[1] - 1).int())
    return i.mul_(dims[2]).add_(z.clamp(0, dims[2] - 1).int())


@scripted
def transposed(rows: Tensor) -> Tensor:
    """The transpose (8, n) of rows (n, 8), or the other way round.

    A processor multiplies by the identity in a third of the time that it takes to copy columns.
    """
    if rows.device.type != "cpu":
        return rows.t().contiguous()
    if rows.size(0) == 8:
        return torch.mm(rows.t(), torch.eye(8, device=rows.device))
    return torch.mm(torch.eye(8, device=rows.device), rows.t())


@scripted
def interpolate(corners: Tensor, cell: Tensor, within: Tensor) -> Tensor:
    """What corners (cell, 8) hold at places in cells (3, sample)."""
    x, y, z = within.unbind(0)
    values = transposed(corners.index_select(0, cell))
    # z is innermost: corners 2 i and 2 i + 1 differ in it.
    values = values[0::2].lerp_(values[1::2], z)
    values = values[0::2].lerp_(values[1::2], y)
    return values[0].lerp_(values[1], x)


@scripted
def march_inference(
    grid_rays: GridRays,
    merged: MergedGrid,
    dims: list[int],
    step: float,
    early_stop_eps: float,
    weight_threshold: float,
) -> tuple[Tensor, Tensor, Tensor, int]:
    """What rays meet.

    Args:
        dims: of the lattice.
        step: between samples, in cells.
        early_stop_eps: a ray ends where no more light than this is left.
        weight_threshold: samples of less weight have no feature but the mean of the others'.

    Returns:
        Feature (ray, channel), opacity and depth (ray,); how many samples were looked at.
    """
    count, device = grid_rays.start.size(0), grid_rays.start.device
    feature = torch.zeros(count, merged.features.size(1), device=device)
    depth, shown = torch.zeros(count, device=device), torch.zeros(count, device=device)
    light = torch.ones(count, device=device)
    unbounded = grid_rays.nearest.numel() > 0
    looked = 0
    # The rays that are left, the number of the next sample of each, and of how many.
    ray = torch.arange(count, device=device)
    place = torch.zeros(count, device=device)
    last = ((grid_rays.end - grid_rays.start) / step - 0.5).ceil_()
    eight = torch.arange(8, device=device).float()[:, None]
    # As many leaps as most rays need to come near something; from then on, less is empty.
    leaps = 8
    while ray.size(0) > 0:
        origins = grid_rays.origins.index_select(1, ray)
        directions = grid_rays.directions.index_select(1, ray)
        nearest = grid_rays.nearest.index_select(0, ray) if unbounded else grid_rays.nearest
        start = grid_rays.start.index_select(0, ray) + 0.5 * step
        free = torch.zeros_like(place)
        for _ in range(leaps):
            s = torch.add(start, place, alpha=step)
            cell = flat_cells(locate(grid_rays, origins, directions, nearest, s), dims)
            free = merged.empty_distance.index_select(0, cell).float()
            if unbounded:
                # Steps are up to 3.2 cells long on diagonals outside the inner cube.
                farther = s.mul_(2 * grid_rays.edge[0, 0, 0]).abs_().sub_(1)
                free.div_(farther.mul_(5.2).clamp_(0, 2.2).add_(1))
            place.add_(free.div_(step).floor_())
        leaps = 3  # what is left is mostly near something

        close = (free < 1).logical_and_(place < last).nonzero().squeeze(1)
        if close.size(0) > 0:
            some = ray.index_select(0, close)
            k = place.index_select(0, close) + eight  # (8, some), as are s, clear, passed, weight
            s = torch.add(start.index_select(0, close), k, alpha=step)
            if unbounded:
                nearest = nearest.index_select(0, close)
            origins = origins.index_select(1, close)[:, None]
            x = locate(grid_rays, origins, directions.index_select(1, close)[:, None], nearest, s)
            cell = merged.number.index_select(0, flat_cells(x, dims).view(-1))
            within = x.frac_().view(3, -1)
            # exp(-softplus(density)) = sigmoid(-density): the light that a cell lets through. The
            # bounds keep all numbers normal, which others take ten times as long as.
            clear = interpolate(merged.clear, cell, within).clamp_min_(-30).sigmoid_().log_()
            clear = clear.view(8, -1).mul_((k < last.index_select(0, close)).float().mul_(step))
            for i in range(1, 8):
                clear[i].add_(clear[i - 1])
            arriving = light.index_select(0, some)
            passed = clear.clamp_min_(-40).exp_().mul_(arriving)
            weight = torch.cat([arriving[None], passed[:-1]]).sub_(passed)
            light.index_copy_(0, some, passed[7])
            t = ray_parameters(grid_rays, nearest, grid_rays.speed.index_select(0, some), s)
            depth.index_add_(0, some, t.mul_(weight).sum(0))

            # What shows, ray by ray.
            weight = transposed(weight)
            visible = weight > weight_threshold
            seen = visible.view(-1).nonzero().squeeze(1)
            share = weight.view(-1).index_select(0, seen)
            shown.index_add_(0, some, weight.mul_(visible).sum(1))
            many = visible.sum(1)
            at = torch.bitwise_and(seen, 7).mul_(some.size(0))
            at.add_(torch.bitwise_right_shift(seen, 3))
            corners = transposed(trilinear(within.index_select(1, at)).mul_(share))
            rows = merged.rows.index_select(0, cell.index_select(0, at))
            found = F.embedding_bag(
                rows.view(-1),
                merged.features,
                (many.cumsum(0) - many).mul_(8).int(),
                mode="sum",
                per_sample_weights=corners.view(-1),
            )
            feature.index_add_(0, some, found)
            looked += 8 * some.size(0)
            # Rays without light are at their end.
            dark = (passed[7] <= early_stop_eps).float().mul_(1e9)
            place.index_copy_(0, close, dark.add_(k[7]).add_(1))
        left = (place < last).nonzero().squeeze(1)
        ray, place = ray.index_select(0, left), place.index_select(0, left)
        last = last.index_select(0, left)
    opacity = 1 - light
    # What is too faint to be looked up has the colour of the rest.
    feature.mul_((opacity / shown.clamp_min_(1e-6)).clamp_max_(2)[:, None])
    return feature, opacity, depth, looked
