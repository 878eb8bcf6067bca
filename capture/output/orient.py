"""A solved scene put upright, centred on what the cameras look at, and in scale.

The scene's coordinates: +z up, the origin where the views converge, the cameras at a mean
distance of 1 from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from geometry.capture_kind import CaptureKind, capture_kind
from geometry.poses import (
    Poses,
    average_pose,
    focus_point,
    normalize,
    up_direction,
)

_PLANE_SHARE = 0.2  # of the points must lie in the dominant plane
_PLANE_ANGLE = 30.0  # degrees that its normal may differ from the cameras' up


@dataclass(frozen=True)
class Placement:
    """How a scene lies.

    Attributes:
        kind: of capture, by what the cameras do.
        to_scene: similarity from the solver's coordinates to the scene's.
        up_from: "plane" (a floor or table), "cameras" or "tag".
    """

    kind: CaptureKind
    to_scene: Float[np.ndarray, "4 4"]
    up_from: Literal["plane", "cameras", "tag"]


def place(poses: Poses, points: Float[np.ndarray, "point 3"]) -> Placement:
    """Find up, centre and scale from the cameras and the points that they see.

    Args:
        poses: camera-to-world, OpenGL axes, in the solver's coordinates.
        points: the sparse points.
    """
    up = up_direction(poses)
    plane = dominant_plane(points, up)
    up_from: Literal["plane", "cameras"] = "cameras"
    kind = capture_kind(poses)
    if plane is not None and kind != "forward-facing":
        # A wall behind a forward-facing scene must not tilt it; a floor under a walk levels it.
        up, up_from = plane, "plane"
    if kind == "forward-facing":
        centre = _subject_ahead(poses, points)
    else:
        centre = poses[:, :, 3].mean(0) if kind == "trajectory" else focus_point(poses)
    scale = float(np.linalg.norm(poses[:, :, 3] - centre, axis=1).mean())
    if kind == "trajectory":
        scale = float(np.median(np.linalg.norm(points - centre, axis=1)))

    z = normalize(up)
    # The middle camera looks along +y.
    look = (
        -poses[len(poses) // 2, :, 2] if kind != "forward-facing" else -average_pose(poses)[:3, 2]
    )
    if abs(look @ z) > 0.999:
        look = poses[len(poses) // 2, :, 1]
    x = normalize(np.cross(look, z))
    rotation = np.stack([x, np.cross(z, x), z])
    to_scene = np.eye(4)
    to_scene[:3, :3] = rotation / scale
    to_scene[:3, 3] = -rotation @ centre / scale
    return Placement(kind, to_scene, up_from)


def dominant_plane(
    points: Float[np.ndarray, "point 3"], up: Float[np.ndarray, "3"], tries: int = 500
) -> Float[np.ndarray, "3"] | None:
    """The unit normal of the plane that most points lie in, if it is roughly level (RANSAC).

    Points count that are nearer to the plane than 1 % of the points' spread; the normal is then
    fitted to them. None where too few lie in any such plane.
    """
    if len(points) < 50:
        return None
    generator = np.random.default_rng(0)
    offset = points - np.median(points, axis=0)
    spread = np.median(np.linalg.norm(offset, axis=1))
    near = offset[np.linalg.norm(offset, axis=1) < 4 * spread]
    tolerance = 0.01 * spread
    sample = near[generator.integers(len(near), size=(tries, 3))]
    normals = np.cross(sample[:, 1] - sample[:, 0], sample[:, 2] - sample[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.maximum(lengths, 1e-12)
    level = np.abs(normals @ up) > np.cos(np.radians(_PLANE_ANGLE))
    best, most = None, 0
    for normal, anchor in zip(normals[level], sample[level, 0], strict=True):
        inside = np.abs((near - anchor) @ normal) < tolerance
        if inside.sum() > most:
            best, most = inside, int(inside.sum())
    if best is None or most < _PLANE_SHARE * len(near):
        return None
    flat = near[best] - near[best].mean(0)
    normal = np.linalg.svd(flat, full_matrices=False)[2][2]
    if abs(normal @ up) < np.cos(np.radians(_PLANE_ANGLE)):
        return None
    return normal * np.sign(normal @ up)


def _subject_ahead(poses: Poses, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "3"]:
    """The point ahead of the average camera at the points' median depth.

    Almost parallel optical axes do not say where they meet; what was photographed does.
    """
    pose = average_pose(poses)
    depth = (points - pose[:3, 3]) @ -pose[:3, 2]
    ahead = depth[depth > 0]
    if not len(ahead):
        return focus_point(poses)
    return pose[:3, 3] - float(np.median(ahead)) * pose[:3, 2]
