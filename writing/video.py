"""Looping GIFs and MP4s from frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from .files import replacing

Frame = UInt8[np.ndarray, "height width 3"]


def write_gif(path: Path, frames: Sequence[Frame], fps: int) -> None:
    """Write a GIF that loops for ever.

    Each frame has the 256 colours that suit it best and is not dithered: at the size of these
    pictures dithering shows as noise. The format counts time in hundredths of a second, and
    players slow down what is shorter than two.
    """
    duration = max(20, 10 * round(100 / fps))
    images = [Image.fromarray(f).quantize(256, Image.Quantize.MEDIANCUT) for f in frames]
    with replacing(path) as temporary:
        images[0].save(
            temporary, save_all=True, append_images=images[1:], duration=duration, loop=0
        )


def write_mp4(path: Path, frames: Sequence[Frame], fps: int) -> None:
    """Write an H.264 video that browsers and phones play.

    The codec wants even sides: a row or column is repeated where one is odd.
    """
    height, width = frames[0].shape[:2]
    pad = ((0, height % 2), (0, width % 2), (0, 0))
    with (
        replacing(path) as temporary,
        imageio.get_writer(
            temporary, fps=fps, codec="libx264", quality=8, macro_block_size=1
        ) as writer,
    ):
        for frame in frames:
            writer.append_data(np.pad(frame, pad, mode="edge"))  # type: ignore[attr-defined]
