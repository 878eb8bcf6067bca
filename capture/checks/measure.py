"""What a photo looks like, in numbers: sharpness, exposure, colour, a thumbnail to compare."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

_THUMB = 16  # pixels a side


@dataclass(frozen=True)
class PhotoStatistics:
    """Measures of one photo.

    Attributes:
        sharpness: variance of the Laplacian of the grey image at 1000 pixels, divided by the
            image's own variance, so that a dark photo is not taken for a blurred one.
        exposure: mean of log2 of the linear luminance, in stops.
        red, blue: mean of red and blue over green, in stops: the white balance.
        texture: standard deviation of the grey image, in grey levels.
        thumb: the grey image at 16 x 16.
    """

    sharpness: float
    exposure: float
    red: float
    blue: float
    texture: float
    thumb: list[int]


def measure_photo(image: UInt8[np.ndarray, "height width 3"]) -> PhotoStatistics:
    """Measure an RGB photo."""
    grey = cv2.cvtColor(_reduced(image, 1000), cv2.COLOR_RGB2GRAY)
    small = _reduced(image, 160)
    linear = stops(small.reshape(-1, 3))
    # The rim between black and white counts for nothing.
    usable = ((small > 8) & (small < 250)).all(-1).reshape(-1)
    balance = linear[usable] if usable.sum() > 100 else linear
    thumb = cv2.resize(
        cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (_THUMB, _THUMB), interpolation=cv2.INTER_AREA
    )
    return PhotoStatistics(
        sharpness=sharpness(grey),
        exposure=float(linear.mean()),
        red=float((balance[:, 0] - balance[:, 1]).mean()),
        blue=float((balance[:, 2] - balance[:, 1]).mean()),
        texture=float(grey.std()),
        thumb=[int(level) for level in thumb.reshape(-1)],
    )


def sharpness(grey: UInt8[np.ndarray, "height width"]) -> float:
    """Variance of the Laplacian over the variance of the image."""
    return float(cv2.Laplacian(grey, cv2.CV_32F).var() / (grey.var() + 1.0))


def stops(colors: np.ndarray) -> np.ndarray:
    """log2 of the linear light that sRGB values (0 to 255) stand for."""
    values = np.asarray(colors, dtype=np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.log2(linear.clip(1e-3, None))


def _reduced(image: np.ndarray, side: int) -> np.ndarray:
    factor = side / max(image.shape[:2])
    if factor >= 1:
        return image
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
