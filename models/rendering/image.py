"""Whole images: the one loop over chunks of rays."""

from __future__ import annotations

from collections.abc import Callable

import torch

from errors import is_out_of_memory
from geometry.rays import Rays

from .output import RenderOutput


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
