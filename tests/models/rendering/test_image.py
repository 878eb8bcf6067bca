"""Whole images: chunks, memory, depth."""

from __future__ import annotations

import pytest
import torch

from models.rendering.depth import mean_t
from models.rendering.hierarchical import HierarchicalRenderer
from models.rendering.image import ImageRenderer
from models.rendering.output import RenderOutput
from tests.helpers.networks import lively_field, make_rays


def test_chunks_make_no_difference():
    renderer = HierarchicalRenderer(lively_field(0), lively_field(1), 8, 8)
    rays = make_rays(50)
    whole = ImageRenderer(renderer, 1000)(rays)
    parts = ImageRenderer(renderer, 7)(rays)
    torch.testing.assert_close(whole.rgb, parts.rgb)
    torch.testing.assert_close(whole.depth, parts.depth)


def test_running_out_of_memory_halves_the_chunk():
    renderer = HierarchicalRenderer(lively_field(0), None, 8, 0)

    def scarce(rays):
        if len(rays) > 5:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return renderer(rays)

    rays = make_rays(33)
    image_renderer = ImageRenderer(scarce, 40)
    torch.testing.assert_close(image_renderer(rays).rgb, ImageRenderer(renderer, 33)(rays).rgb)
    assert image_renderer.rays_per_chunk == 5

    def broken(rays):
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        ImageRenderer(broken, 40)(rays)


def test_depth_is_that_of_the_surface_or_background():
    picture = RenderOutput(
        torch.zeros(3, 3), torch.tensor([2.0, 0.9, 0.4]), torch.tensor([1.0, 0.6, 0.4])
    )
    torch.testing.assert_close(mean_t(picture), torch.tensor([2.0, 1.5, 0.0]))
