"""Depths of many views in one truncated signed distance field (Curless and Levoy 1996)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from models.grids.lattice import unravel

from .views import DepthView

# Distances are cut off at so many voxels: more blunt thin parts, fewer leave noise.
TRUNCATION = 3.0
_POINTS_AT_ONCE = 1 << 19
# Of the depths' points along each axis, this share on either side does not count: floaters.
_OUTLIERS = 0.001
_MARGIN = 5  # voxels around the points


@dataclass(frozen=True)
class Volume:
    """Signed distances at the corners of a lattice.

    Attributes:
        low: the first corner, in scene units.
        voxel: the lattice's spacing.
        distance: to the surface in truncations, from -1 (inside) to 1.
        observed: whether a view saw the place, or saw past it.
        framed: whether it is in some view's picture at all.
    """

    low: Float[Tensor, "3"]
    voxel: float
    distance: Float[Tensor, "x y z"]
    observed: Bool[Tensor, "x y z"]
    framed: Bool[Tensor, "x y z"]


@dataclass(frozen=True)
class Box:
    """From the corner `low` to the corner `high`, in scene units."""

    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]

    def holds(self, x: Float[Tensor, "point 3"]) -> Bool[Tensor, "point"]:
        return ((x > self.low) & (x < self.high)).all(dim=1)


def crop(views: Sequence[DepthView], box: Box) -> Box | None:
    """The part of a box in which views see something; None where they see nothing in it."""
    points = torch.cat([view.points() for view in views])
    points = points[box.holds(points)]
    if len(points) < 3:
        return None
    skipped = int(_OUTLIERS * len(points))
    ordered = points.sort(dim=0).values
    return Box(ordered[skipped], ordered[len(ordered) - 1 - skipped])


def voxel_size(box: Box, finest: float, most: int) -> float:
    """The spacing with which a box has at most so many voxels, no finer than `finest`."""
    return max(finest, float((box.high - box.low).clamp_min(finest).prod() / most) ** (1 / 3))


def fuse(views: Sequence[DepthView], box: Box, voxel: float) -> Volume:
    """The mean of all views' distances to their surfaces, along their rays.

    Args:
        box: what is fused, with a margin of a few voxels around it.
        voxel: spacing in scene units.
    """
    low = box.low - _MARGIN * voxel
    nx, ny, nz = (((box.high - box.low) / voxel).ceil().long() + 2 * _MARGIN + 1).tolist()
    total, weight = torch.zeros(nx * ny * nz), torch.zeros(nx * ny * nz)
    framed = torch.zeros(nx * ny * nz, dtype=torch.bool)
    truncation = TRUNCATION * voxel
    for first in range(0, len(total), _POINTS_AT_ONCE):
        part = slice(first, min(first + _POINTS_AT_ONCE, len(total)))
        index = torch.arange(part.start, part.stop)
        x = torch.stack(unravel(index, (nx, ny, nz)), dim=1) * voxel + low
        for view in views:
            uv, distance, seen = view.look_up(x)
            framed[part] |= seen
            gap = (_depth(view, uv.nan_to_num(), truncation) - distance) / truncation
            used = seen & (gap > -1)
            total[part] += torch.where(used, gap.clamp(max=1), 0)
            weight[part] += used
    mean = total / weight.clamp_min(1)
    # What nobody sees, among what is in the pictures, is behind surfaces.
    distance = torch.where(weight > 0, mean, torch.where(framed, -1.0, 1.0))
    shape = (nx, ny, nz)
    return Volume(low, voxel, distance.view(shape), (weight > 0).view(shape), framed.view(shape))


def coarser(volume: Volume, factor: float) -> Volume:
    """The volume with a spacing about so many times as wide, interpolated."""
    shape = [max(4, round((n - 1) / factor) + 1) for n in volume.distance.shape]
    voxel = volume.voxel * factor
    axes = [
        torch.arange(n) * voxel / (volume.voxel * (m - 1)) * 2 - 1
        for n, m in zip(shape, volume.distance.shape, strict=True)
    ]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)[None]

    def sampled(values: Tensor) -> Tensor:
        flat = values.float()[None, None]
        return F.grid_sample(flat, grid, padding_mode="border", align_corners=True)[0, 0]

    observed, framed = sampled(volume.observed) > 0.999, sampled(volume.framed) > 0.5
    return Volume(volume.low, voxel, sampled(volume.distance), observed, framed)


def _depth(
    view: DepthView, uv: Float[Tensor, "point 2"], truncation: float
) -> Float[Tensor, "point"]:
    """The depth at places of a picture: between pixels, except at the edges of things."""
    height, width = view.depth.shape
    x = uv[:, 0].long().clamp(0, width - 1)
    y = uv[:, 1].long().clamp(0, height - 1)
    nearest = view.depth[y, x]
    grid = (2 * uv / view.camera.size[0] - 1).view(1, 1, -1, 2)
    finite = view.depth.clamp(max=1e6)[None, None]
    smooth = F.grid_sample(finite, grid, padding_mode="border", align_corners=False).view(-1)
    return torch.where((smooth - nearest).abs() < truncation, smooth, nearest)
