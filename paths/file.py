"""Camera paths as JSON files: nerfstudio's format, written and read, and transforms.json, read.

Cameras in a file are in the coordinates of the scene's input files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from datasets.files.numbers import matrix, number_of, positive
from datasets.files.text import read_json
from datasets.scene import Scene
from errors import UserError
from geometry.cameras import Cameras, make_cameras
from geometry.poses import apply, check_poses
from paths.path import KINDS

Lens = tuple[float, float, float, float]


def path_json(
    cameras: Cameras,
    to_input: Float[np.ndarray, "4 4"] | None,
    fps: float,
    key_frames: Sequence[int] = (),
    loop: bool = True,
) -> str:
    """The text of a `path.json` that `--path` and nerfstudio's `ns-render camera-path` read.

    Args:
        cameras: of the frames, in scene units, with the principal point in the middle.
        to_input: similarity from scene coordinates to those of the input's files.
        fps: frames a second.
        key_frames: numbers of the frames that somebody chose, in a path of paths.keyframes.
        loop: the frame after the last one is the first.
    """
    poses = cameras.c2w.double().numpy()
    if to_input is not None:
        poses = apply(to_input, poses)
    frames = []
    for pose, lens, size in zip(
        poses, cameras.intrinsics.tolist(), cameras.size.tolist(), strict=True
    ):
        matrix = np.vstack([pose, [0.0, 0.0, 0.0, 1.0]])
        frames.append(
            {
                "camera_to_world": matrix.reshape(-1).tolist(),
                "fov": math.degrees(2 * math.atan(0.5 * size[1] / lens[1])),
                "aspect": size[0] / size[1],
            }
        )
    width, height = cameras.size[0].tolist()
    content = {
        "camera_type": "perspective",
        "render_width": width,
        "render_height": height,
        "fps": fps,
        "seconds": len(frames) / fps,
        "is_cycle": loop,
        "smoothness_value": 0.0,
        "keyframes": [{"frame": number} for number in key_frames],
        "camera_path": frames,
    }
    return json.dumps(content, indent=1) + "\n"


def read_path(path: Path, scene: Scene, lens: Lens, size: tuple[int, int]) -> Cameras:
    """The cameras of a JSON file, in scene units.

    Either {"frames": [{"transform_matrix": 4x4}, ...]} (transforms.json) or nerfstudio's
    {"camera_path": [{"camera_to_world": 16 numbers, "fov": degrees}, ...]}. The file's fields of
    view and picture size are kept where it gives them.

    Args:
        lens, size: fx, fy, cx, cy and width, height in pixels, for what the file does not say.

    Raises:
        UserError: the file is missing, or not one of cameras.
    """
    content = read_json(path, f", and not one of {', '.join(KINDS)}")
    content = content if isinstance(content, dict) else {}
    nerfstudio = "camera_path" in content
    frames = content.get("camera_path" if nerfstudio else "frames")
    key = "camera_to_world" if nerfstudio else "transform_matrix"
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise UserError(
            f'{path}: needs "frames" with "transform_matrix", or "camera_path" with '
            '"camera_to_world"'
        )
    if not frames:
        raise UserError(f"{path}: holds no camera")
    poses = np.stack([_matrix(frame, key, f"{path}: frame {i}") for i, frame in enumerate(frames)])
    size = _size(content, size, nerfstudio, path)
    lenses = [
        _nerfstudio_lens(frame, lens, size, f"{path}: frame {i}")
        if nerfstudio
        else _transforms_lens({**content, **frame}, lens, size, f"{path}: frame {i}")
        for i, frame in enumerate(frames)
    ]
    poses = check_poses(poses, [f"frame {i}" for i in range(len(poses))], path.name)
    if scene.to_input is not None:
        poses = apply(np.linalg.inv(scene.to_input), poses)
    return make_cameras(poses, lenses, [size] * len(poses))


def _matrix(frame: dict[str, Any], key: str, where: str) -> Float[np.ndarray, "3 4"]:
    """A camera's matrix, of 3 or 4 rows, as rows or as one list of numbers."""
    found = matrix(frame.get(key), [(4, 4), (3, 4), (16,), (12,)], f'{where}: "{key}"')
    return found.reshape(-1, 4)[:3]


def _size(
    content: dict[str, Any], size: tuple[int, int], nerfstudio: bool, path: Path
) -> tuple[int, int]:
    """Width and height that a path gives; those of a capture's photos are not the pictures'."""
    if not (nerfstudio and "render_width" in content and "render_height" in content):
        return size
    width = round(number_of(content, "render_width", path))
    height = round(number_of(content, "render_height", path))
    if not all(16 <= side <= 16384 for side in (width, height)):
        raise UserError(f"{path}: pictures of {width} x {height} pixels")
    return width, height


def _nerfstudio_lens(frame: dict[str, Any], lens: Lens, size: tuple[int, int], where: str) -> Lens:
    """The lens of "fov", the vertical field of view in degrees."""
    width, height = size
    if "fov" not in frame:
        focal = lens[1] * height / (2 * lens[3])
        return focal, focal, width / 2, height / 2
    fov = number_of(frame, "fov", where)
    if not 0.01 < fov < 175:
        raise UserError(f"{where}: a field of view of {fov:.4g} degrees")
    focal = 0.5 * height / math.tan(0.5 * math.radians(fov))
    return focal, focal, width / 2, height / 2


def _transforms_lens(frame: dict[str, Any], lens: Lens, size: tuple[int, int], where: str) -> Lens:
    """The lens of a transforms.json, by its horizontal field of view."""
    width, height = size
    if "fl_x" in frame and "w" in frame:
        wide = positive(frame["w"], f'{where}: "w"')
        focal = number_of(frame, "fl_x", where) * width / wide
    elif "camera_angle_x" in frame:
        angle = number_of(frame, "camera_angle_x", where)
        if not 0 < angle < 3.1:
            raise UserError(f"{where}: a field of view of {angle:.4g} radians")
        focal = 0.5 * width / math.tan(0.5 * angle)
    else:
        return lens
    if not 0.01 * width < focal < 1e4 * width:
        raise UserError(f"{where}: a focal length of {focal:.4g} pixels of {width}")
    return focal, focal, width / 2, height / 2
