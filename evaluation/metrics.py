"""Image quality, taken on the 8-bit image that is saved."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, UInt8

Image = UInt8[np.ndarray, "height width 3"]
Mask = Bool[np.ndarray, "height width"]


def psnr(image: Image, reference: Image, mask: Mask | None = None) -> float:
    """Peak signal-to-noise ratio in dB, -10 log10 of the mean squared error of [0, 1] colours.

    With a mask, over its pixels. Equal images give 100 dB, since infinity has no mean.
    """
    error = (image.astype(np.float64) - reference.astype(np.float64)) / 255
    square = error**2 if mask is None else error[mask] ** 2
    return float(min(100.0, -10 * np.log10(max(square.mean(), 1e-10))))


def ssim(image: Image, reference: Image, mask: Mask | None = None) -> float:
    """Structural similarity (Wang et al., 2004): Gaussian window of 11 pixels, sigma 1.5.

    Without padding, as in the original; images under 11 pixels are padded. With a mask, the mean
    over its pixels.
    """
    import kornia  # here, since training never asks for it: a second and 40 MB at every start

    a, b = (torch.from_numpy(x).permute(2, 0, 1)[None].float() / 255 for x in (image, reference))
    padding = "valid" if min(image.shape[:2]) >= 11 and mask is None else "same"
    # A channel at a time: it takes some thirty bytes a value.
    channels = [
        kornia.metrics.ssim(x, y, window_size=11, max_val=1.0, padding=padding)[0]
        for x, y in zip(a.split(1, dim=1), b.split(1, dim=1), strict=True)
    ]
    values = torch.cat(channels)
    if mask is not None:
        values = values[:, torch.from_numpy(mask)]
    return float(values.mean())
