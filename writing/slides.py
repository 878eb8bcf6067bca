"""Single views as a slow slide show: no film, so that nothing jumps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from errors import UserError
from writing.frames import Frame, Picture
from writing.layout import letterbox
from writing.video import write_mp4

FADE = 0.6  # seconds


def write_slide_show(
    path: Path, images: Sequence[Picture], seconds_each: float = 2.0, fps: float = 30
) -> None:
    """Write an MP4 that shows the images one after the other, with soft cross-fades.

    images: uint8 (height, width, 3), of any sizes; two are held at a time, so StoredFrames does.
        The size that most of them have is the video's; others are shown whole, on black.
    seconds_each: from one image to the next, the fade included.

    The last image fades to the first: the video loops without a jump. Raises as write_mp4.
    """
    if len(images) == 0:
        raise UserError(f"{path}: there are no images to show")
    sizes = Counter(image.shape[:2] for image in images)
    height, width = sizes.most_common(1)[0][0]
    write_mp4(path, slides(images, height, width, seconds_each, fps), fps)


def slides(
    images: Sequence[Picture], height: int, width: int, seconds_each: float, fps: float
) -> Iterator[Frame]:
    """The frames of a slide show, (height, width, 3)."""
    count = max(1, round(seconds_each * fps))
    fading = min(round(FADE * fps), count // 2) if len(images) > 1 else 0
    first = current = letterbox(images[0], height, width)
    for number in range(len(images)):
        for _ in range(count - fading):
            yield current
        is_last = number + 1 == len(images)
        following = first if is_last else letterbox(images[number + 1], height, width)
        for i in range(fading):
            yield blend(current, following, smooth_step((i + 1) / (fading + 1)))
        current = following


def smooth_step(t: float) -> float:
    """From 0 to 1 with a soft start and end."""
    return t * t * (3 - 2 * t)


def blend(a: Frame, b: Frame, share: float) -> Frame:
    """`share` of `b` over `a`."""
    mixed = a.astype(np.float32) * (1 - share) + b.astype(np.float32) * share
    return np.round(mixed).astype(np.uint8)
