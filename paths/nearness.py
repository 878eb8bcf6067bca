"""How near a path is to the training cameras, as seen from the subject."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from geometry.poses import normalize

Points = Float[np.ndarray, "point 3"]

# Degrees from the nearest camera, seen from the subject, up to which a frame is near it.
NEAR = 15.0
# Degrees within which photos tell how far from the subject a path may be: two neighbours of a path
# that is near enough stand in it, so that the range does not jump from one photo to the next.
THERE = 20.0


def directions(points: Points, subject: Float[np.ndarray, "*point 3"]) -> tuple[Points, np.ndarray]:
    """Unit vectors from the subject, and the distances."""
    offset = points - subject
    distance = np.maximum(np.linalg.norm(offset, axis=-1), 1e-12)
    return offset / distance[..., None], distance


def angles(
    points: Points, cameras: Float[np.ndarray, "camera 3"], subject: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "point camera"]:
    """Degrees between points and cameras, seen from the subject."""
    return between(directions(points, subject)[0], directions(cameras, subject)[0])


def between(
    first: Points, second: Float[np.ndarray, "other 3"]
) -> Float[np.ndarray, "point other"]:
    """Degrees between unit vectors."""
    return np.degrees(np.arccos(np.clip(first @ second.T, -1, 1)))


def distance_range(
    angle: Float[np.ndarray, "point camera"], distance: Float[np.ndarray, "camera"]
) -> tuple[Float[np.ndarray, "point"], Float[np.ndarray, "point"]]:
    """Distances of the nearest and farthest camera there: within THERE, three in any case."""
    there = angle <= THERE
    nearest = np.argsort(angle, axis=1)[:, :3]
    np.put_along_axis(there, nearest, True, axis=1)
    low = np.where(there, distance, np.inf).min(1)
    high = np.where(there, distance, -np.inf).max(1)
    return low, high


def from_looked_at(
    positions: Float[np.ndarray, "frame 3"],
    axes: Float[np.ndarray, "frame 3"],
    cameras: Float[np.ndarray, "camera 3"],
    camera_axes: Float[np.ndarray, "camera 3"],
    distance: Float[np.ndarray, "frame"],
) -> Float[np.ndarray, "frame"]:
    """Degrees to the nearest camera, seen from the point that each frame looks at.

    For a walk, which has no one subject. Only cameras that look a similar way count.

    Args:
        distance: from each frame to what it looks at.
    """
    least = np.empty(len(positions))
    for i, (position, axis) in enumerate(zip(positions, axes, strict=True)):
        similar = camera_axes @ axis > np.cos(np.radians(45))
        point = position + normalize(axis) * distance[i]
        near = angles(position[None], cameras[similar], point)
        least[i] = near.min() if similar.any() else 180.0
    return least
