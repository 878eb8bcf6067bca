"""Small films for the tests, and how ffmpeg reads what was written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np


def moving_square(count: int = 6, height: int = 30, width: int = 41) -> list[np.ndarray]:
    """A square that moves on a gradient."""
    out = []
    for i in range(count):
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 0] = np.linspace(0, 255, width)
        image[8:18, 4 * i : 4 * i + 10] = (20, 200, 90)
        out.append(image)
    return out


def textured_pan(count: int, height: int, width: int) -> list[np.ndarray]:
    """A window that moves over fine texture, the costliest content of a flight."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (height + 60, width + 60, 3))
    texture = 128 + 60 * cv2.GaussianBlur(noise, (0, 0), 1.2)
    whole = np.clip(texture, 0, 255).astype(np.uint8)
    steps = [(round(30 + 29 * np.sin(i / 5)), round(30 + 29 * np.cos(i / 7))) for i in range(count)]
    return [np.ascontiguousarray(whole[y : y + height, x : x + width]) for y, x in steps]


def ffmpeg(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", *map(str, arguments)],
        capture_output=True,
    )


def read_bt709(path: Path, height: int, width: int) -> np.ndarray:
    """All frames as RGB (frame, height, width, 3), decoded as BT.709 whatever the tags say."""
    convert = (
        "scale=in_color_matrix=bt709:in_range=tv:out_range=pc:flags=accurate_rnd+full_chroma_int"
    )
    raw = ffmpeg("-i", path, "-vf", f"{convert},format=rgb24", "-f", "rawvideo", "-").stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
