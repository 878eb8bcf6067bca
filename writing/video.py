"""MP4s that browsers and phones play, with the frames' own colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from writing.ffmpeg import run_ffmpeg
from writing.files import replacing
from writing.frames import Frame
from writing.gif import write_gif

__all__ = ["Frame", "write_gif", "write_mp4"]

# Players take a video without tags, or one of a small size, for BT.601 or BT.709 as they like:
# the matrix that we convert with is named, and so are primaries and transfer.
BT709 = (
    # accurate_rnd and full_chroma_* keep swscale from its fast, coarser arithmetic.
    "scale=in_range=pc:out_range=tv:out_color_matrix=bt709"
    ":flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp,"
    "format=yuv420p,"
    "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
)
TAGS = ["-color_range", "tv", "-colorspace", "bt709"]
TAGS += ["-color_primaries", "bt709", "-color_trc", "bt709"]
# At 18 photos look as their source at any zoom, at a third of the size of 10.
QUALITY = ["-c:v", "libx264", "-preset", "medium", "-crf", "18"]


def write_mp4(path: Path, frames: Iterable[Frame], fps: float) -> None:
    """Write an H.264 video (yuv420p, BT.709, playable while it loads).

    frames: uint8 (height, width, 3), all of one size; any iterable, read once, one at a time.
    fps: frames a second.

    The format wants even sides: a row or column is repeated where one is odd. Raises UserError
    where there is no frame, sizes differ or ffmpeg fails, OSError where the disk refuses; the file
    then stays as it was.
    """
    options = ["-an", "-vf", BT709, *QUALITY, *TAGS, "-movflags", "+faststart+write_colr"]
    with replacing(path) as temporary:
        run_ffmpeg(even_sides(frames), fps, options, temporary, path)


def even_sides(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames, with the last row or column repeated where a side is odd."""
    for frame in frames:
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        yield frame
