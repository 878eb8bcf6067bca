"""Frames of HDR video (HLG or PQ, what phones record) as SDR, by filters of ffmpeg."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import UInt8

from writing.ffmpeg import ffmpeg_program, source

# Transfer functions of HDR, in ffmpeg's words: BT.2100's HLG and PQ.
_HDR = re.compile(r"Video: .*\b(arib-std-b67|smpte2084)\b")
# To linear light with diffuse white (203 cd/m2, BT.2408) at 1, to BT.709's primaries, highlights
# rolled off, to sRGB.
_TO_SDR = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0,"
    "zscale=t=iec61966-2-1:m=gbr:r=full,format=rgb24"
)


def is_hdr(path: Path) -> bool:
    """Whether a video says that it is HDR."""
    command = [ffmpeg_program(), "-hide_banner", "-nostdin", *source(path)]
    told = subprocess.run(command, capture_output=True).stderr
    return _HDR.search(told.decode(errors="replace")) is not None


def can_convert() -> bool:
    """Whether this ffmpeg has the filters."""
    command = [ffmpeg_program(), "-hide_banner", "-filters"]
    told = subprocess.run(command, capture_output=True).stdout
    return b" zscale " in told and b" tonemap " in told


def sdr_frames(
    path: Path, numbers: Sequence[int], max_size: int
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """The frames of these numbers, upright, as sRGB, no longer than max_size.

    A video that is damaged from some frame on gives those before it.
    """
    chosen = "+".join(f"eq(n\\,{number})" for number in numbers)
    smaller = f"scale='min({max_size},iw)':'min({max_size},ih)'"
    smaller += ":force_original_aspect_ratio=decrease"
    command = [
        *(ffmpeg_program(), "-hide_banner", "-nostdin", "-loglevel", "error"),
        *(*source(path), "-an", "-vf", f"select='{chosen}',{smaller},{_TO_SDR}"),
        *("-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "pipe:1"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            while (frame := _read_ppm(process.stdout)) is not None:
                yield frame
        finally:
            process.stdout.close()
            process.kill()


def _read_ppm(stream: IO[bytes]) -> np.ndarray | None:
    """The next picture of a stream of PPM files; None at its end."""
    if stream.readline().strip() != b"P6":
        return None
    width, height = map(int, stream.readline().split())
    stream.readline()  # 255
    content = stream.read(3 * width * height)
    if len(content) < 3 * width * height:
        return None
    return np.frombuffer(content, np.uint8).reshape(height, width, 3)
