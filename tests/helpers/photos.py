"""Photos whose pixels name themselves."""

from __future__ import annotations

import numpy as np
from PIL import Image

from datasets.photos import Frame, load_photos
from geometry.cameras import make_cameras
from tests.scenes import circle_poses


def two_photos(mask: bool = False, tmp_path=None):
    """Photos of two sizes whose pixels name themselves: (image, x, y)."""
    frames, sizes = [], [(5, 3), (4, 6)]
    for i, (width, height) in enumerate(sizes):
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        array = np.stack([np.full_like(x, i), x, y], -1).astype(np.uint8)
        mask_path = None
        if mask:
            mask_path = tmp_path / f"{i}.png"
            keep = np.zeros((height, width), np.uint8)
            keep[1] = 255
            Image.fromarray(keep).save(mask_path)
        frames.append(Frame(str(i), (width, height), array=array, mask_path=mask_path))
    cameras = make_cameras(circle_poses(2), [(5.0, 5.0, 2.5, 1.5), (5.0, 5.0, 2.0, 3.0)], sizes)
    return load_photos(frames, 0.0), cameras
