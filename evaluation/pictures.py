"""Images as they are saved, and a validation's look at a grid of a view's pixels."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from datasets.loaders.view_loader import ViewBatch
from evaluation.metrics import psnr
from models.appearance.exposure import match_halves
from models.rendering.depth import mean_t
from models.rendering.output import RenderOutput
from writing.depth import Depth, depth_range, depth_to_colour

Image = UInt8[np.ndarray, "height width 3"]


def to_8_bit(rgb: Float[Tensor, "ray 3"], size: tuple[int, int]) -> Image:
    """Colours in [0, 1], row by row, as the image of (width, height) that is saved."""
    image = (rgb.nan_to_num().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    return image.view(size[1], size[0], 3).cpu().numpy()


def comparison(
    photo: Image, image: Image, output: RenderOutput, near: float, far: float
) -> UInt8[np.ndarray, "3 height width 3"]:
    """Ground truth, prediction and depth (red is near) of one view."""
    depth = mean_t(output).float().cpu().numpy().reshape(photo.shape[:2])
    return np.stack([photo, image, depth_to_colour(depth, near, far)])


def compare_view(view_image: Image, depth: Depth, photo: Image) -> UInt8[np.ndarray, "3 h w 3"]:
    """Ground truth, prediction and depth (red is near) of a whole rendered view.

    Args:
        depth: distance along each pixel's ray; 0 is background.
    """
    return np.stack([photo, view_image, depth_to_colour(depth, *depth_range([depth]))])


def measure_rays(
    output: RenderOutput, batch: ViewBatch, right_half: bool, background: float
) -> tuple[float, float]:
    """Loss and PSNR of the rays of a view, as protocol.py measures whole ones.

    Args:
        right_half: of a run with --encode_appearance.
        background: of the scene.
    """
    width, height = batch.size
    rgb, photo, opacity = (
        x.unflatten(0, (height, width)) for x in (output.rgb, batch.rgbs, output.opacity)
    )
    valid = None if batch.valid is None else batch.valid.unflatten(0, (height, width))
    if right_half:
        rgb, photo, valid = match_halves(rgb, photo, opacity, background, valid)
    if valid is not None and not bool(valid.any()):
        valid = None  # nothing is left to measure
    error = (rgb - photo).square()
    loss = float(error.mean() if valid is None else error[valid].mean())
    size = (rgb.shape[1], height)
    image, seen = (to_8_bit(x.flatten(0, 1), size) for x in (rgb, photo))
    mask = None if valid is None else valid.cpu().numpy()
    return loss, psnr(image, seen, mask)
