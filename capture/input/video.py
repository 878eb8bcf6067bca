"""A video to photos: the sharpest frames, spread over its time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from capture.checks.measure import sharpness
from capture.input.hdr import can_convert, is_hdr, sdr_frames
from capture.input.photos import save
from errors import UserError
from writing.ffmpeg import PROTOCOLS
from writing.progress import progress_bar

# FFmpeg's own words on a damaged file, which mean nothing to a user, stay away.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# A file that calls itself a video may be a list of addresses: it is read from this disk alone.
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", f"protocol_whitelist;{PROTOCOLS}")

_LOOKS = 8  # frames that are compared for each one taken


def sharpest_frames(path: Path, folder: Path, count: int, max_size: int) -> list[str]:
    """Write `count` frames (or all, of a shorter video) to `folder`; their names in order.

    The video is cut into `count` spans of equal length, and the sharpest frame of each is taken.
    Phones' rotation tags are obeyed; HDR becomes SDR. Raises UserError where the video cannot
    be read.
    """
    total = sum(1 for _ in _decode(path, lambda _: False))
    if total == 0:
        raise UserError(f"{path}: is not a readable video, or has no frames")
    count = min(count, total)
    span = np.arange(total) * count // total
    every = max(1, total // count // _LOOKS)
    shutil.rmtree(folder, ignore_errors=True)
    names: list[str] = []
    frames: Iterable[tuple[int, np.ndarray | None]]
    best, best_sharpness, current = None, -1.0, 0

    def finish() -> None:
        assert best is not None
        name = f"frame_{current + 1:04d}.png"
        save(Image.fromarray(best), folder / name)
        names.append(name)

    def wanted(index: int) -> bool:
        if index >= total:
            return False
        first_of_span = index == 0 or span[index] != span[index - 1]
        return bool(first_of_span or index % every == 0)

    hdr = is_hdr(path)
    if hdr and not can_convert():
        print(f"{path}: is HDR, and this ffmpeg cannot convert it: its colours will be off")
        hdr = False
    frames = _decode(path, wanted)
    if hdr:
        numbers = [index for index in range(total) if wanted(index)]
        frames = zip(numbers, sdr_frames(path, numbers, max_size), strict=False)
    for index, frame in progress_bar(frames, total=total, desc="frames"):
        if frame is None:
            continue
        if span[index] != current:
            finish()
            best, best_sharpness, current = None, -1.0, int(span[index])
        frame = _limit(frame, max_size)
        value = sharpness(cv2.cvtColor(_limit(frame, 800), cv2.COLOR_RGB2GRAY))
        if value > best_sharpness:
            best, best_sharpness = frame, value
    if best is None:
        raise UserError(f"{path}: its frames cannot be decoded")
    finish()
    return names


def _decode(
    path: Path, wanted: object
) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"] | None]]:
    """All frames with their number, the unwanted ones undecoded as None."""
    assert callable(wanted)
    capture = cv2.VideoCapture(str(path))
    try:
        index = 0
        while capture.isOpened() and capture.grab():
            frame = None
            if wanted(index):
                ok, bgr = capture.retrieve()
                frame = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) if ok else None
            yield index, frame
            index += 1
    finally:
        capture.release()


def _limit(image: np.ndarray, side: int) -> np.ndarray:
    factor = side / max(image.shape[:2])
    if factor >= 1:
        return image
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
