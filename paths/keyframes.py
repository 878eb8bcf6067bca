"""A path through key frames: cameras that somebody chose, at even times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from datasets.files.text import read_json
from datasets.scene import Scene
from geometry.cameras import Cameras, make_cameras
from paths.file import path_json, read_path
from paths.smooth import spline

# Of a path without key frames, so many of its frames become some.
_TAKEN = 8


@dataclass(frozen=True)
class KeyFrame:
    """A camera of a path.

    Attributes:
        pose: camera-to-world, in scene units.
        fov: vertical, in radians.
    """

    pose: Float[np.ndarray, "3 4"]
    fov: float


@dataclass(frozen=True)
class KeyPath:
    """Key frames, and how they are flown through.

    Attributes:
        keys: in their order.
        seconds: from the first frame to the end.
        loop: the frame after the last one is the first; otherwise it ends at the last key frame.
        fps: frames a second.
    """

    keys: Sequence[KeyFrame] = field(default_factory=tuple)
    seconds: float = 8.0
    loop: bool = True
    fps: float = 30.0

    @property
    def key_indices(self) -> list[int]:
        """The frames that are the key frames."""
        return [number * self._frames_a_leg for number in range(len(self.keys))]

    @property
    def _frames_a_leg(self) -> int:
        """Equally many on each leg, so that each key frame is a frame."""
        legs = len(self.keys) if self.loop else len(self.keys) - 1
        return max(1, round(self.seconds * self.fps / max(1, legs)))

    def cameras(self, size: tuple[int, int]) -> Cameras:
        """All frames, with pictures of `size`; through the key frames by the cubic spline.

        Raises ValueError without a key frame.
        """
        if not self.keys:
            raise ValueError("a path without key frames")
        width, height = size
        poses, fovs = self._frames()
        focals = 0.5 * height / np.tan(0.5 * fovs)
        lenses = [(focal, focal, width / 2, height / 2) for focal in focals.tolist()]
        return make_cameras(poses, lenses, [size] * len(poses))

    def _frames(self) -> tuple[Float[np.ndarray, "frame 3 4"], Float[np.ndarray, "frame"]]:
        poses = np.stack([key.pose for key in self.keys])
        fovs = np.array([key.fov for key in self.keys])
        count = self._frames_a_leg
        if len(poses) == 1:
            count = max(1, round(self.seconds * self.fps))
            return np.repeat(poses, count, axis=0), np.repeat(fovs, count)
        closed, last = self.loop, len(poses) - 1
        if closed and len(poses) == 2:  # there and back
            poses, fovs, closed = poses[[0, 1, 0]], fovs[[0, 1, 0]], False
        at = np.arange(count * (last + self.loop) + (not self.loop)) / count
        knots = np.arange(len(poses) + closed, dtype=float)
        # Positions, and the cameras' back and up, which are made a rotation again.
        values = [spline(poses[:, :, i], knots, at, closed) for i in (3, 2, 1)]
        position, back, up = values
        back = back / np.linalg.norm(back, axis=1, keepdims=True).clip(1e-9)
        right = np.cross(up, back)
        right = right / np.linalg.norm(right, axis=1, keepdims=True).clip(1e-9)
        frames = np.stack([right, np.cross(back, right), back, position], axis=2)
        between = spline(fovs, knots, at, closed)
        return frames, between.clip(0.5 * fovs.min(), min(3.0, 1.5 * fovs.max()))

    def to_json(self, scene: Scene, size: tuple[int, int]) -> str:
        """The text of a `path.json`, which eval.py takes (paths.file.path_json)."""
        indices = self.key_indices
        return path_json(self.cameras(size), scene.to_input, self.fps, indices, self.loop)


def read_key_path(path: Path, scene: Scene) -> KeyPath:
    """The key frames of a path file; of one without any, some of its frames.

    Raises UserError where it is missing, or not one of cameras.
    """
    width, height = usual_size(scene)
    camera = scene.cameras[scene.splits["train"][0]]
    focal = float(camera.intrinsics[0, 1])
    lens = (focal, focal, width / 2, height / 2)
    cameras = read_path(path, scene, lens, (width, height))
    content = read_json(path, "")
    count = len(cameras)
    indices = _indices(content.get("keyframes"), count)
    if not indices:
        indices = [i * count // _TAKEN for i in range(_TAKEN)] if count > _TAKEN else range(count)
    poses, heights = cameras.c2w.double().numpy(), cameras.size[:, 1].tolist()
    keys = [
        KeyFrame(poses[i], 2 * math.atan(0.5 * heights[i] / float(cameras.intrinsics[i, 1])))
        for i in indices
    ]
    loop = content.get("is_cycle") is not False
    frames = count if loop else count - 1
    return KeyPath(tuple(keys), max(0.1, frames / KeyPath.fps), loop)


def _indices(value: Any, count: int) -> Sequence[int]:
    """The frames that "keyframes" names as ours do; none where it is another program's."""
    found = [entry.get("frame") for entry in value if isinstance(entry, dict)] if value else []
    return [i for i in found if isinstance(i, int) and 0 <= i < count]


def usual_size(scene: Scene) -> tuple[int, int]:
    """Width and height of most training photos."""
    sizes = scene.cameras.size[scene.splits["train"]].numpy()
    found, counts = np.unique(sizes, axis=0, return_counts=True)
    width, height = (int(side) for side in found[counts.argmax()])
    return width, height
