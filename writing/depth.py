"""Depth maps: as numbers in files, and as pictures."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from writing.files import write_bytes

Depth = Float[np.ndarray, "height width"]
ENDINGS = {"pfm": ".pfm", "npy": ".npy", "bytes": ""}


def write_depth(path: Path, depth: Depth, depth_format: str) -> Path:
    """Write float32 depth to `path` plus the format's ending; returns the file's path.

    pfm: rows from the bottom up, little endian; npy: NumPy; bytes: raw little-endian rows from
    the top down, height and width being those of the image.
    """
    depth = np.ascontiguousarray(depth, dtype="<f4")
    if depth_format == "pfm":
        height, width = depth.shape
        # A negative scale says little endian.
        content = f"Pf\n{width} {height}\n-1.0\n".encode() + depth[::-1].tobytes()
    elif depth_format == "npy":
        buffer = io.BytesIO()
        np.save(buffer, depth)
        content = buffer.getvalue()
    else:
        content = depth.tobytes()
    path = path.with_name(path.name + ENDINGS[depth_format])
    write_bytes(path, content)
    return path


def depth_range(depths: list[Float[np.ndarray, "_ _"]]) -> tuple[float, float]:
    """One scale for all frames: the 1 and 99 percentiles of what is a surface (depth above 0)."""
    # A few thousand pixels of each frame tell.
    some = [depth.reshape(-1)[:: max(1, depth.size // 4096)] for depth in depths]
    surface = np.concatenate(some)
    surface = surface[np.isfinite(surface) & (surface > 0)].astype(np.float64)
    if len(surface) == 0:
        return 0.0, 1.0
    near, far = np.percentile(surface, [1, 99])
    return float(near), float(max(far, near * (1 + 1e-6) + 1e-9))


def depth_to_colour(depth: Depth, near: float, far: float) -> UInt8[np.ndarray, "height width 3"]:
    """Colours from blue (far) to red (near); black where there is no surface (depth 0)."""
    grey = (255 * nearness(depth, near, far) + 0.5).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    return colour * (depth > 0)[..., None]


def depth_to_grey(depth: Depth, near: float, far: float) -> UInt8[np.ndarray, "height width 3"]:
    """Nearer is lighter; black at `far`, and where there is no surface (depth 0)."""
    grey = (255 * nearness(depth, near, far) * (depth > 0) + 0.5).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def grey_of_depth(depth: Depth, near: float, far: float) -> UInt8[np.ndarray, "height width 3"]:
    """A grey image that keeps depth: 255 at `near`, 1 at `far`, 0 where there is no surface."""
    grey = ((1.5 + 254 * nearness(depth, near, far)) * (depth > 0)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def colour_of_grey(grey: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """The colours of `depth_to_colour` for an image of `grey_of_depth`."""
    colour = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    return colour * (grey > 0)[..., None]


def nearness(depth: Depth, near: float, far: float) -> Float[np.ndarray, "height width"]:
    """1 at `near` and before it, 0 at `far` and beyond."""
    depth = np.nan_to_num(depth.astype(np.float32), posinf=far)
    return np.clip((far - depth) / (far - near), 0.0, 1.0)
