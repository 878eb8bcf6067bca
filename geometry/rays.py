"""Rays, as the samplers and fields see them: cast from cameras, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from geometry.cameras import Cameras
from geometry.ndc import NDC


@dataclass(frozen=True)
class Bounds:
    """The part of each ray that is sampled: t from near to far, mapped by `ndc` where it is set.

    t is the distance along the unit direction in scene units; with `ndc` it is the NDC
    parameter, from 0 to 1. `warped_viewdirs` hands the field the NDC direction, not of unit length,
    as the viewing direction: wrong, but what networks of nerf_pl were trained with.
    """

    near: float
    far: float
    ndc: NDC | None = None
    warped_viewdirs: bool = False


@dataclass(frozen=True)
class Rays:
    """A batch of rays o + t d."""

    origins: Float[Tensor, "ray 3"]
    directions: Float[Tensor, "ray 3"]  # unit, except in NDC
    viewdirs: Float[Tensor, "ray 3"]  # unit, taken before NDC
    near: Float[Tensor, "ray"]
    far: Float[Tensor, "ray"]
    camera_indices: Int[Tensor, "ray"]  # of its photo, within the split

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, index: slice) -> Rays:
        return Rays(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device | str) -> Rays:
        return Rays(*(getattr(self, field.name).to(device) for field in fields(self)))

    def concat(self, others: Rays) -> Rays:
        """These rays, followed by others."""
        pairs = ((getattr(self, f.name), getattr(others, f.name)) for f in fields(self))
        return Rays(*(torch.cat(pair) for pair in pairs))

    def points(self, t: Float[Tensor, "ray sample"]) -> Float[Tensor, "ray sample 3"]:
        """The points at parameters t."""
        return torch.addcmul(self.origins[:, None], self.directions[:, None], t[..., None])


@dataclass(frozen=True)
class RayLimits:
    """Where rays end before their bounds do: at the parameter t and so many grid cells more.

    A ray's `far` is a bound of the scene, which a region that goes on beyond it does not have.
    """

    t: Float[Tensor, "ray"]
    cells: Float[Tensor, "ray"]

    def after_unlimited(self, count: int) -> RayLimits:
        """The same behind `count` rays without a limit."""
        return RayLimits(F.pad(self.t, (count, 0), value=torch.inf), F.pad(self.cells, (count, 0)))


def cast_rays(
    cameras: Cameras,
    bounds: Bounds,
    image: Int[Tensor, "ray"],
    x: Int[Tensor, "ray"],
    y: Int[Tensor, "ray"],
) -> Rays:
    """The rays through pixels (x, y) of the cameras `image`, on the cameras' device."""
    origins, viewdirs = cameras.rays(image, x, y)
    directions = viewdirs
    if bounds.ndc is not None:
        origins, directions = bounds.ndc.rays(origins, directions)
        if bounds.warped_viewdirs:
            viewdirs = directions
    near = origins.new_full((1,), bounds.near).expand(len(origins))
    far = origins.new_full((1,), bounds.far).expand(len(origins))
    return Rays(origins, directions, viewdirs, near, far, image)


def image_rays(cameras: Cameras, bounds: Bounds, index: int, stride: int = 1) -> Rays:
    """The rays of camera `index`, row by row; with a stride, of every stride-th row and column."""
    width, height = cameras.size[index].tolist()
    device = cameras.c2w.device
    y, x = torch.meshgrid(
        torch.arange(stride // 2, height, stride, device=device),
        torch.arange(stride // 2, width, stride, device=device),
        indexing="ij",
    )
    image = torch.full((x.numel(),), index, device=device)
    return cast_rays(cameras, bounds, image, x.reshape(-1), y.reshape(-1))
