"""Which way is up in a capture, also where its photos are stored on their side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from geometry.capture_kind import turning_axis
from geometry.poses import Poses, look_at, normalize
from paths.path import Frames


@dataclass(frozen=True)
class Upright:
    """Training cameras turned about their optical axes until their photos stand upright.

    Attributes:
        poses: of the turned cameras.
        up: of the scene, a unit vector.
        turns: quarter turns clockwise that the photos were given.
    """

    poses: Poses
    up: Float[np.ndarray, "3"]
    turns: int


def stand_upright(
    poses: Poses, scene_up: Float[np.ndarray, "3"], file_up: Float[np.ndarray, "3"], roll: float
) -> Upright:
    """Find up, and turn the cameras to it by quarter turns.

    Args:
        poses: camera-to-world (n, 3, 4) of the training photos as they are stored.
        scene_up: what the loader took for up.
        file_up: +z of the input's coordinates, in the scene's: most programs put up there.
        roll: degrees clockwise that the photos are to be turned; 0 is what the cameras tell.
    """
    if roll:
        turns = round(roll / 90) % 4
        poses = turn(poses, 90.0 * turns)
        return Upright(poses, turning_axis(poses), turns)
    up = turning_axis(poses)
    # The direction that files and loaders know is exact where the cameras only come near it.
    for known in (normalize(file_up), normalize(scene_up)):
        agreement = float(known @ up)
        lies = abs(float(up @ normalize(poses[:, :, 1].mean(0) + 1e-12))) < 0.5
        if agreement > 0.97 or (lies and agreement < -0.97):
            up = known
            break
    # Radians clockwise from each photo's own up to the scene's.
    across, along = poses[:, :, 0] @ up, poses[:, :, 1] @ up
    turns = round(float(np.degrees(np.arctan2(-across.sum(), along.sum()))) / 90) % 4
    if np.hypot(across.sum(), along.sum()) < 0.2 * len(poses):
        turns = 0  # they look up or down, or were held in different ways
    return Upright(turn(poses, 90.0 * turns), up, turns)


def turn(poses: Poses, degrees: float) -> Poses:
    """Turn the cameras so that their pictures turn clockwise."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_axis = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).round(12)
    return np.concatenate([poses[:, :, :3] @ about_axis, poses[:, :, 3:]], axis=2)


def level(
    positions: Float[np.ndarray, "frame 3"],
    directions: Float[np.ndarray, "frame 3"],
    up: Float[np.ndarray, "3"],
) -> Frames:
    """Cameras with a level horizon that look along `directions`, of any length but 0."""
    pairs = zip(positions, directions, strict=True)
    return np.stack([look_at(p, p + d, up) for p, d in pairs])
