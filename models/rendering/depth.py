"""Depth of what was rendered, as distances in the scene."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from geometry.cameras import Cameras
from geometry.rays import Bounds
from models.rendering.output import RenderOutput

# In NDC, what lies farther than this many near planes is as good as infinitely far.
_FARTHEST = 1000.0


def mean_t(output: RenderOutput) -> Float[Tensor, "ray"]:
    """The mean parameter t of what each ray sees; 0 where it sees more background than surface."""
    mean = output.depth / output.opacity.clamp_min(1e-6)
    return torch.where(output.opacity > 0.5, mean, torch.zeros_like(mean))


def surface_distance(
    output: RenderOutput, cameras: Cameras, bounds: Bounds, index: int
) -> Float[Tensor, "height width"]:
    """Distance from camera `index` along each pixel's ray, in scene units; 0 is background.

    Args:
        output: of all pixels of that camera, row by row.
    """
    width, height = cameras.size[index].tolist()
    t = mean_t(output).view(height, width)
    if bounds.ndc is None:
        return t
    device = t.device
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    image = torch.full((height * width,), index, device=device)
    origins, directions = cameras.to(device).rays(image, x.reshape(-1), y.reshape(-1))
    limit = _FARTHEST * bounds.ndc.near
    distance = bounds.ndc.distance(t.reshape(-1), origins, directions, limit).view(height, width)
    return torch.where(t > 0, distance, torch.zeros_like(distance))
