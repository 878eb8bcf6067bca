"""Photos around a drum whose halves look alike: what they match, a right model and a folded one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap

from capture.checks.contradictions import Matches, Pair
from geometry.poses import Poses, look_at

COUNT = 24  # photos, 15 degrees apart
HALF = 200  # points of either half; point k + HALF is opposite to point k and looks the same
_SIZE, _FOCAL = (400, 300), 400.0
_REACH = 4  # photos up to which neighbours match
_FRONT = np.radians(50)  # up to which a point is seen


def name_of(photo: int) -> str:
    return f"{photo:02d}.jpg"


def drum() -> np.ndarray:
    """The points (2 * HALF, 3)."""
    generator = np.random.default_rng(0)
    azimuth, height = generator.uniform(0, np.pi, HALF), generator.uniform(0, 0.6, HALF)
    half = np.stack([0.4 * np.cos(azimuth), 0.4 * np.sin(azimuth), height], axis=1)
    return np.concatenate([half, half * [-1, -1, 1]])


def around(count: int = COUNT) -> Poses:
    """Where the photos were taken."""
    up, middle = np.array([0.0, 0, 1]), np.array([0.0, 0, 0.3])
    angles = np.arange(count) * 2 * np.pi / COUNT
    return np.stack(
        [look_at(np.array([2 * np.cos(a), 2 * np.sin(a), 0.8]), middle, up) for a in angles]
    )


def seen(pose: np.ndarray) -> np.ndarray:
    """Which points turn their front to a camera."""
    points = drum()
    turn = np.arctan2(pose[1, 3], pose[0, 3]) - np.arctan2(points[:, 1], points[:, 0])
    return np.abs((turn + np.pi) % (2 * np.pi) - np.pi) < _FRONT


def pixels(pose: np.ndarray) -> np.ndarray:
    """Where a camera shows the points: the keypoints of its photo, k of point k."""
    local = (drum() - pose[:, 3]) @ (pose[:, :3] * [1, -1, -1])
    return _FOCAL * local[:, :2] / local[:, 2:] + np.array(_SIZE) / 2


def matched(alike: bool = True, walk: bool = True) -> Matches:
    """What the photos match: their neighbours, and, where halves look alike, those opposite.

    Args:
        walk: the photos are in the order in which they were taken.
    """
    poses = around()
    fronts = [seen(pose) for pose in poses]
    pairs = []
    for i in range(COUNT):
        for j in range(i + 1, COUNT):
            apart = min(j - i, COUNT - j + i)
            first = np.arange(2 * HALF)
            if apart <= _REACH:
                second = first
            elif alike and abs(apart - COUNT // 2) <= 1:
                second = (first + HALF) % (2 * HALF)
            else:
                continue
            both = fronts[i][first] & fronts[j][second]
            pairs.append(Pair(name_of(i), name_of(j), np.stack([first, second], axis=1)[both]))
    keypoints = {name_of(i): pixels(pose) for i, pose in enumerate(poses)}
    return Matches(keypoints, pairs, {name_of(i): i for i in range(COUNT)}, walk)


def model_of(poses: Poses, opposite: Sequence[int] = ()) -> pycolmap.Reconstruction:
    """A model of the photos with these poses, and the points that each observes.

    Args:
        opposite: photos that are taken for photos of the other half: their keypoints observe the
            points that look the same.
    """
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", _FOCAL, *_SIZE)
    camera.params = [_FOCAL, _SIZE[0] / 2, _SIZE[1] / 2]
    model.add_camera_with_trivial_rig(camera)
    tracks = [pycolmap.Track() for _ in range(2 * HALF)]
    for number, (pose, true) in enumerate(zip(poses, around(len(poses)), strict=True)):
        rotation = (pose[:, :3] * [1, -1, -1]).T
        image = pycolmap.Image(name_of(number), pixels(true), 1, number + 1)
        shift = (-rotation @ pose[:, 3])[:, None]
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.hstack([rotation, shift])))
        for k in np.flatnonzero(seen(true)):
            point = (k + HALF) % (2 * HALF) if number in opposite else k
            tracks[point].add_element(number + 1, k)
    for point, track in zip(drum(), tracks, strict=True):
        if track.length() > 1:
            model.add_point3D(point, track, np.zeros(3, np.uint8))
    return model


def folded() -> pycolmap.Reconstruction:
    """The wrong solve: photos of the second half stand where those of the first do."""
    first = around()[: COUNT // 2]
    return model_of(np.concatenate([first, first]), opposite=range(COUNT // 2, COUNT))


def write_database(path: Path, matches: Matches) -> Path:
    """A COLMAP database of the photos, their keypoints and verified pairs."""
    with pycolmap.Database.open(path) as database:
        camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", _FOCAL, *_SIZE)
        camera_id = database.write_camera(camera)
        ids = {}
        for name, xy in matches.keypoints.items():
            ids[name] = database.write_image(pycolmap.Image(name, np.zeros((0, 2)), camera_id))
            database.write_keypoints(ids[name], xy.astype(np.float32))
        for pair in matches.pairs:
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry.inlier_matches = pair.matches.astype(np.uint32)
            database.write_two_view_geometry(ids[pair.first], ids[pair.second], geometry)
    return path
