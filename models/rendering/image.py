"""Whole images: the one loop over chunks of rays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from errors import is_out_of_memory
from geometry.cameras import Cameras
from geometry.rays import Bounds, Rays, cast_rays, image_rays

from .coarse_to_fine import coarse_to_fine
from .output import RenderOutput


@runtime_checkable
class SparsePixels(Protocol):
    """A renderer that knows how far apart pixels may be in a coarse image."""

    def pixel_stride(self, cameras: Cameras, bounds: Bounds, index: int) -> int:
        """Pixels of camera `index` between rays at which nothing is missed; a power of two."""
        ...


class ImageRenderer:
    """Renders any number of rays, some at a time.

    Args:
        render: rays to their output.
        rays_per_chunk: rays of a call. When memory runs out it is halved, for good.
    """

    def __init__(self, render: Callable[[Rays], RenderOutput], rays_per_chunk: int) -> None:
        self.render = render
        self.rays_per_chunk = max(1, rays_per_chunk)

    @torch.no_grad()
    def __call__(self, rays: Rays) -> RenderOutput:
        parts: list[RenderOutput] = []
        start = 0
        while start < len(rays):
            try:
                part = self.render(rays[start : start + self.rays_per_chunk])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.rays_per_chunk == 1:
                    raise
                self.rays_per_chunk //= 2
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            parts.append(part)
            start += len(part)
        return RenderOutput.cat(parts)

    @torch.no_grad()
    def view(self, cameras: Cameras, bounds: Bounds, index: int) -> RenderOutput:
        """What camera `index` shows, row by row.

        Pixels whose neighbours agree are interpolated, where the renderer says that this misses
        nothing (SparsePixels); calling the ImageRenderer with all rays renders each.
        """
        stride = 1
        if isinstance(self.render, SparsePixels):
            stride = self.render.pixel_stride(cameras, bounds, index)
        if stride == 1:
            return self(image_rays(cameras, bounds, index))

        def pixels(x: Tensor, y: Tensor) -> RenderOutput:
            return self(cast_rays(cameras, bounds, torch.full_like(x, index), x, y))

        width, height = cameras.size[index].tolist()
        return coarse_to_fine(pixels, (width, height), stride, cameras.c2w.device)
