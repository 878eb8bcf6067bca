"""Pictures of several sizes in boxes of one size."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from writing.frames import Picture

Colour = tuple[int, int, int]


def letterbox(image: Picture, height: int, width: int, background: Colour = (0, 0, 0)) -> Picture:
    """`image` whole, as large as it fits, in the middle of a box (height, width, 3)."""
    inner = fit(image, height, width)
    if inner.shape[:2] == (height, width):
        return inner
    box: UInt8[np.ndarray, "height width 3"] = np.empty((height, width, 3), np.uint8)
    box[:] = background
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    box[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return box


def fit(image: Picture, height: int, width: int) -> Picture:
    """`image` whole, as large as it fits in (height, width); one side may be shorter."""
    scale = min(height / image.shape[0], width / image.shape[1])
    return resize(
        image,
        min(height, max(1, round(image.shape[0] * scale))),
        min(width, max(1, round(image.shape[1] * scale))),
    )


def resize(image: Picture, height: int, width: int) -> Picture:
    """`image` at another size: averaged where it shrinks, cubic where it grows."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height < image.shape[0]
    return cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
