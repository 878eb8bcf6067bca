"""A spiral in the middle of cameras that look the same way (Mildenhall et al., 2019: LLFF)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from geometry.poses import Poses, apply, average_pose
from paths.level import level
from paths.nearness import NEAR, angles, distance_range
from paths.path import Frames


def spiral(
    poses: Poses,
    up: Float[np.ndarray, "3"],
    focus: float,
    n_frames: int,
    turns: int = 2,
    width: float = 1.0,
    free: Callable[[Float[np.ndarray, "point 3"]], Bool[np.ndarray, "point"]] | None = None,
) -> Frames:
    """Rounds before the scene that most cameras keep within, to and fro by half a turn.

    Args:
        poses: of upright training cameras.
        focus: distance from the middle of the cameras to the point that all frames look at.
        width: factor on the size.
        free: tells free space; the spiral narrows until it is free.
    """
    middle = average_pose(poses)
    local = apply(np.linalg.inv(middle), poses)
    centre = np.median(local[:, :, 3], axis=0)
    offset = local[:, :, 3] - centre
    # Along the directions in which the cameras are spread: they may stand on a slanting line.
    axes = np.linalg.eigh(np.cov(offset[:, :2].T))[1] if len(poses) > 2 else np.eye(2)
    radii = np.percentile(np.abs(offset[:, :2] @ axes), 90, axis=0)
    reach = float(np.percentile(np.abs(offset[:, 2]), 70))
    subject = np.array([0.0, 0.0, -focus])
    angle = np.linspace(0, 2 * math.pi * turns, n_frames, endpoint=False)
    circle = np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    flat, forward = width, width
    for _ in range(40):
        across = centre[:2] + flat * (circle * radii) @ axes.T
        along = centre[2] - forward * reach * np.sin(angle / turns)
        positions = np.column_stack([across, along])
        near = angles(positions, local[:, :, 3], subject)
        low, high = distance_range(near, np.linalg.norm(local[:, :, 3] - subject, axis=1))
        distance = np.linalg.norm(positions - subject, axis=1)
        slack = 0.01 * focus
        outside = bool(((distance < low - slack) | (distance > high + slack)).any())
        world = positions @ middle[:3, :3].T + middle[:3, 3]
        blocked = free is not None and not free(world).all()
        near_enough = width > 1.0 or not (outside or near.min(1).max() > NEAR)
        if near_enough and not blocked:
            break
        forward *= 0.8
        if forward < 0.3 * flat or not outside:
            flat *= 0.9
    target = middle[:3, :3] @ subject + middle[:3, 3]
    return level(world, target - world, up)
