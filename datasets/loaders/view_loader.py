"""Whole views for validation: their rays in rows, with the colours of their pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from datasets.photos import Photos
from geometry.cameras import Cameras
from geometry.rays import Bounds, Rays, image_rays


@dataclass(frozen=True)
class ViewBatch:
    """The rays of one view, row by row; size is (width, height) of the image they make.

    `valid` is False where a mask leaves the pixel out; None without masks.
    """

    rays: Rays
    rgbs: Float[Tensor, "ray 3"]
    size: tuple[int, int]
    valid: Bool[Tensor, "ray"] | None = None

    def to(self, device: torch.device | str) -> ViewBatch:
        valid = None if self.valid is None else self.valid.to(device)
        return ViewBatch(self.rays.to(device), self.rgbs.to(device), self.size, valid)


class ViewLoader:
    """One view a batch.

    Args:
        photos, cameras: of the views, in the same order.
        bounds: the sampled part of the rays.
        max_rays: at most this many rays of a view, on a regular grid over it; 0 is all.
        device: where the rays are made.
        rank, world_size: this process's share: every world_size-th view. All processes have as
            many, so some may have one that another has too.
    """

    def __init__(
        self,
        photos: Photos,
        cameras: Cameras,
        bounds: Bounds,
        max_rays: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.photos, self.bounds, self.max_rays = photos, bounds, max_rays
        self.cameras = cameras.to(device)
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return -(-len(self.photos) // self.world_size)

    def __iter__(self) -> Iterator[ViewBatch]:
        for number in range(len(self)):
            index = (number * self.world_size + self.rank) % len(self.photos)
            image = self.photos.image(index)
            pixels = image.shape[0] * image.shape[1]
            stride = math.ceil(math.sqrt(pixels / self.max_rays)) if self.max_rays else 1
            grid = image[stride // 2 :: stride, stride // 2 :: stride]
            rays = image_rays(self.cameras, self.bounds, index, stride)
            rgbs = grid.reshape(-1, 3).to(rays.origins.device).float() / 255
            valid = self.photos.mask(index)
            if valid is not None:
                valid = valid[stride // 2 :: stride, stride // 2 :: stride].reshape(-1)
                valid = valid.to(rgbs.device)
            yield ViewBatch(rays, rgbs, (grid.shape[1], grid.shape[0]), valid)
