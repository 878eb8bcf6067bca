"""Camera poses: checks, and what a set of cameras tells about its scene.

Poses are camera-to-world matrices [R | t] (n, 3, 4) with OpenGL's axes, in float64.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from errors import UserError

Poses = Float[np.ndarray, "camera 3 4"]


def check_poses(poses: np.ndarray, names: list[str], source: str) -> Poses:
    """Refuse poses that are not a rotation and a translation, by the name of their photo.

    Rotations that are off by rounding (under 1 %) are made exact.
    """
    poses = np.asarray(poses, dtype=np.float64)
    for pose, name in zip(poses, names, strict=True):
        if not np.isfinite(pose).all():
            raise UserError(f"{source}: the pose of {name} holds NaN or infinity; solve it again")
        rotation = pose[:, :3]
        error = np.abs(rotation.T @ rotation - np.eye(3)).max()
        if error > 0.02 or np.linalg.det(rotation) < 0:
            raise UserError(
                f"{source}: the pose of {name} is not a rotation and a translation "
                f"(R^T R is off by {error:.2g}, determinant {np.linalg.det(rotation):.2g})"
            )
    u, _, vt = np.linalg.svd(poses[:, :, :3])
    return np.concatenate([u @ vt, poses[:, :, 3:]], axis=2)


def average_pose(poses: Poses) -> Float[np.ndarray, "4 4"]:
    """The pose in the middle of all: mean centre, mean backward axis, mean up made orthogonal."""
    centre = poses[:, :, 3].mean(0)
    z = normalize(poses[:, :, 2].mean(0))
    x = normalize(np.cross(poses[:, :, 1].mean(0), z))
    y = np.cross(z, x)
    pose = np.eye(4)
    pose[:3] = np.stack([x, y, z, centre], axis=1)
    return pose


def apply(matrix: Float[np.ndarray, "4 4"], poses: Poses) -> Poses:
    """Move cameras by a similarity: their centres scale, their rotations stay rotations."""
    scale = np.cbrt(np.linalg.det(matrix[:3, :3]))
    rotation = matrix[:3, :3] / scale @ poses[:, :, :3]
    centre = poses[:, :, 3] @ matrix[:3, :3].T + matrix[:3, 3]
    return np.concatenate([rotation, centre[:, :, None]], axis=2)


def focus_point(poses: Poses) -> Float[np.ndarray, "3"]:
    """The point nearest to all optical axes, by least squares.

    Axes that are almost parallel do not fix it: a small pull to the mean centre keeps it finite.
    """
    centre, axis = poses[:, :, 3], poses[:, :, 2]
    off_axis = np.eye(3) - axis[:, :, None] * axis[:, None, :]  # removes the part along the axis
    lhs = off_axis.mean(0) + 1e-6 * np.eye(3)
    rhs = (off_axis @ centre[:, :, None]).mean(0)[:, 0] + 1e-6 * centre.mean(0)
    return np.linalg.solve(lhs, rhs)


def looks_at(poses: Poses, point: Float[np.ndarray, "3"]) -> float:
    """The share of cameras that have `point` before them."""
    return float((((point - poses[:, :, 3]) * -poses[:, :, 2]).sum(1) > 0).mean())


def up_direction(poses: Poses) -> Float[np.ndarray, "3"]:
    """Up in the scene, from cameras held upright: orthogonal to their right axes if those spread.

    People turn a phone around the vertical more than they tilt it, so the right axes of a walk
    around something lie in the horizontal plane; the mean up axis settles the sign, and is the
    answer itself where all cameras look the same way.
    """
    mean_up = normalize(poses[:, :, 1].mean(0))
    right = poses[:, :, 0]
    values, vectors = np.linalg.eigh(right.T @ right / len(right))
    # Two directions must be well covered for the third to be known.
    if values[1] < 0.1 or values[0] > 0.1:
        return mean_up
    up = vectors[:, 0]
    return up * (1.0 if up @ mean_up >= 0 else -1.0)


def world_up(poses: Poses, agreement: float = 0.9) -> Float[np.ndarray, "3"]:
    """Up in a file's coordinates: +z exactly where the cameras agree with it, else theirs.

    Args:
        agreement: cosine of the angle to +z up to which it is taken.
    """
    up = normalize(up_direction(poses))
    return np.array([0.0, 0.0, 1.0]) if up[2] > agreement else up


def look_at(
    position: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3 4"]:
    """The pose at `position` that looks at `target` with `up` upwards in the image."""
    z = normalize(position - target)
    x = normalize(np.cross(up, z))
    return np.stack([x, np.cross(z, x), z, position], axis=1)


def normalize(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)
