"""Between viser's cameras and ours.

viser: quaternion wxyz and position of a camera with OpenCV's axes (+x right, +y down, +z ahead),
vertical field of view in radians. Ours: OpenGL's axes, pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from viser.transforms import SO3

from geometry.cameras import Cameras, make_cameras

_FLIP = np.diag([1.0, -1.0, -1.0])


class Eye(NamedTuple):
    """Where a visitor looks from.

    Attributes:
        wxyz, position: as viser has them, in scene units.
        fov: vertical, in radians.
        aspect: width over height.
    """

    wxyz: tuple[float, ...]
    position: tuple[float, ...]
    fov: float
    aspect: float


def camera_of(eye: Eye, longest: int) -> Cameras:
    """One camera of ours, whose longer side has `longest` pixels."""
    width = longest if eye.aspect >= 1 else max(8, round(longest * eye.aspect))
    height = longest if eye.aspect < 1 else max(8, round(longest / eye.aspect))
    rotation = SO3(np.asarray(eye.wxyz, dtype=np.float64)).as_matrix() @ _FLIP
    pose = np.concatenate([rotation, np.asarray(eye.position)[:, None]], axis=1)
    focal = 0.5 * height / math.tan(0.5 * eye.fov)
    return make_cameras(pose[None], [(focal, focal, width / 2, height / 2)], [(width, height)])


def eye_of(cameras: Cameras, index: int) -> Eye:
    """viser's words for camera `index` (its principal point is taken to be the middle)."""
    pose = cameras.c2w[index].double().cpu().numpy()
    width, height = cameras.size[index].tolist()
    wxyz = SO3.from_matrix(pose[:, :3] @ _FLIP).wxyz
    fov = 2 * math.atan(0.5 * height / float(cameras.intrinsics[index][1]))
    return Eye(tuple(wxyz.tolist()), tuple(pose[:, 3].tolist()), fov, width / height)


def axis_of(eye: Eye) -> Float[np.ndarray, "3"]:
    """The direction in which it looks."""
    return np.asarray(SO3(np.asarray(eye.wxyz)).as_matrix()[:, 2])


def up_of(eye: Eye) -> Float[np.ndarray, "3"]:
    """The direction that is up in its picture."""
    return -np.asarray(SO3(np.asarray(eye.wxyz)).as_matrix()[:, 1])


def alike(one: Eye, other: Eye) -> bool:
    """Whether two look from the same place in the same direction, whatever their windows."""
    turned = abs(float(np.dot(one.wxyz, other.wxyz)))
    moved = np.linalg.norm(np.subtract(one.position, other.position))
    reach = 1e-3 * (1 + np.linalg.norm(one.position))
    return bool(turned > 1 - 1e-5 and moved < reach and abs(one.fov - other.fov) < 1e-3)
