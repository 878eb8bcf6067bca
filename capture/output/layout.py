"""The files of a solved scene: LLFF's poses_bounds.npy and nerfstudio's transforms.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from capture.output.undistort import Pinhole
from geometry.poses import Poses
from writing.files import replacing, write_json


def write_poses_bounds(
    path: Path, poses: Poses, pinholes: Sequence[Pinhole], bounds: Float[np.ndarray, "camera 2"]
) -> None:
    """LLFF's table, float64 (cameras, 17): [R | t | (H, W, f)] row by row, then near and far.

    Rows are in the order of the images' sorted names; the columns of R are down, right,
    backwards.
    """
    x, y, z, centre = (poses[:, :, i] for i in range(4))
    hwf = np.array([[p.height, p.width, p.focal] for p in pinholes], dtype=np.float64)
    blocks = np.stack([-y, x, z, centre, hwf], axis=2)
    table = np.concatenate([blocks.reshape(-1, 15), bounds], axis=1)
    with replacing(path) as temporary:
        np.save(temporary, table)


def write_transforms(
    path: Path,
    names: Sequence[str],
    poses: Poses,
    pinholes: Sequence[Pinhole],
    masks: Sequence[str | None],
    extra: dict[str, Any],
) -> None:
    """nerfstudio's and instant-ngp's file: camera-to-world in OpenGL axes, +z up.

    Intrinsics stand at the top where all cameras have the same, else with each frame.
    """
    lenses = [_intrinsics(pinhole) for pinhole in pinholes]
    shared = all(lens == lenses[0] for lens in lenses)
    frames = []
    for name, pose, lens, mask in zip(names, poses, lenses, masks, strict=True):
        frame: dict[str, Any] = {"file_path": f"images/{name}"}
        if mask is not None:
            frame["mask_path"] = mask
        if not shared:
            frame |= lens
        frame["transform_matrix"] = [*pose.tolist(), [0.0, 0.0, 0.0, 1.0]]
        frames.append(frame)
    write_json(
        path,
        {"camera_model": "PINHOLE", **(lenses[0] if shared else {}), **extra, "frames": frames},
    )


def _intrinsics(pinhole: Pinhole) -> dict[str, float]:
    return {
        "fl_x": pinhole.focal,
        "fl_y": pinhole.focal,
        "cx": pinhole.width / 2,
        "cy": pinhole.height / 2,
        "w": pinhole.width,
        "h": pinhole.height,
    }
