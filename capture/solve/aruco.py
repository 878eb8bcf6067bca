"""Poses from a printed ArUco tag: calibrate, find the tag, solve its pose in each photo.

The tag's frame is the world: its centre is the origin, +x right, +y up on the paper, +z out of
the paper; lengths are those of --tag_size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pycolmap
from jaxtyping import Float, UInt8

from errors import UserError

# Corners of one tag in pixels, OpenCV's convention (centres at whole numbers), from the top left
# clockwise.
Corners = Float[np.ndarray, "4 2"]
# Of each photo, by its name: the corners of the tags that it shows, by their ids.
Tags = Mapping[str, Mapping[int, Corners]]

_FEWEST_VIEWS = 3  # of the tag, to calibrate from


@dataclass(frozen=True)
class TagCamera:
    """Intrinsics in OpenCV's convention: the matrix, and k1, k2, p1, p2."""

    matrix: Float[np.ndarray, "3 3"]
    distortion: Float[np.ndarray, "4"]
    size: tuple[int, int]
    error: float  # root mean square of the reprojection, in pixels


@dataclass(frozen=True)
class TagPose:
    """World-to-camera rotation and translation (OpenCV axes), and the reprojection error."""

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    error: float


def find_tags(photo: UInt8[np.ndarray, "height width 3"]) -> dict[int, Corners]:
    """The corners of all tags of DICT_4X4_50 in an RGB photo, by their ids."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector = cv2.aruco.ArucoDetector(dictionary, parameters)
    corners, ids, _ = detector.detectMarkers(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY))
    if ids is None:
        return {}
    return {
        int(tag): np.asarray(found, dtype=np.float64).reshape(4, 2)
        for tag, found in zip(np.asarray(ids).reshape(-1), corners, strict=True)
    }


def tag_corners(size: float) -> Float[np.ndarray, "4 3"]:
    """The tag's corners in its own frame, in the detector's order."""
    half = size / 2
    return np.array([[-half, half, 0], [half, half, 0], [half, -half, 0], [-half, -half, 0]])


def calibrate(
    views: Sequence[Mapping[int, Corners]], tag_size: float, size: tuple[int, int]
) -> TagCamera:
    """Intrinsics from photos of tags (Zhang, 2000); every tag in a photo is a view of a square.

    Args:
        views: the tags that each photo shows.
        tag_size: the tags' side.
        size: width and height of the photos in pixels.
    """
    seen = [corners for view in views for corners in view.values()]
    if len(seen) < _FEWEST_VIEWS:
        raise UserError(
            f"the tag is seen in {len(seen)} photos, and {_FEWEST_VIEWS} are needed to calibrate; "
            "see that the whole tag with its white border is in the picture, sharp and flat"
        )
    targets = [tag_corners(tag_size).astype(np.float32)] * len(seen)
    # Four corners a view, most of them in the middle, carry a focal length and one term of
    # distortion; a free principal point takes a percent of the focal length with it.
    flags = cv2.CALIB_FIX_PRINCIPAL_POINT | cv2.CALIB_FIX_ASPECT_RATIO
    flags |= cv2.CALIB_ZERO_TANGENT_DIST | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3
    guess = np.array(
        [[max(size), 0, (size[0] - 1) / 2], [0, max(size), (size[1] - 1) / 2], [0, 0, 1]]
    )
    try:
        error, matrix, distortion, _, _ = cv2.calibrateCamera(
            targets,
            [corners.astype(np.float32) for corners in seen],
            size,
            guess.astype(np.float64),
            np.zeros(5),
            flags=flags | cv2.CALIB_USE_INTRINSIC_GUESS,
        )
    except cv2.error as failed:
        raise UserError("calibration failed: photograph the tag from more directions") from failed
    focal = matrix[0, 0]
    if not (0.2 * max(size) < focal < 10 * max(size)) or error > 0.01 * max(size):
        raise UserError(
            f"calibration failed (focal length {focal:.0f} px, error {error:.1f} px): photograph "
            "the tag slanted, from at least ten directions, near and far"
        )
    return TagCamera(np.asarray(matrix), np.asarray(distortion).reshape(-1)[:4], size, float(error))


def solve_pose(camera: TagCamera, corners: Corners, tag_size: float) -> TagPose | None:
    """The pose of the tag (Collins and Bartoli, 2014: IPPE), refined; None where there is none.

    A square has two poses that look alike; the one that fits better is taken.
    """
    target = tag_corners(tag_size)
    best: TagPose | None = None
    # OpenCV's closed form, seldom, gives NaN for corners that it solves at the next call; the
    # second method stands in for it.
    for method in (cv2.SOLVEPNP_IPPE_SQUARE, cv2.SOLVEPNP_SQPNP):
        count, rotations, translations, _ = cv2.solvePnPGeneric(
            target, corners, camera.matrix, camera.distortion, flags=method
        )
        found = list(zip(rotations, translations, strict=True))[:count]
        found += [
            cv2.solvePnPRefineLM(
                target, corners, camera.matrix, camera.distortion, rotation.copy(), shift.copy()
            )
            for rotation, shift in found
        ]
        for rotation, shift in found:
            shown, _ = cv2.projectPoints(target, rotation, shift, camera.matrix, camera.distortion)
            error = float(np.sqrt(((shown.reshape(4, 2) - corners) ** 2).sum(1).mean()))
            if np.isfinite(error) and (best is None or error < best.error):
                matrix = np.asarray(cv2.Rodrigues(rotation)[0])
                best = TagPose(matrix, np.asarray(shift).reshape(3), error)
        if best is not None:
            break
    return best


def most_seen(views: Sequence[Mapping[int, Corners]]) -> tuple[int, int]:
    """The id of the tag that most photos show, and how many do.

    Raises UserError where none does.
    """
    counts = Counter(tag for view in views for tag in view)
    if not counts:
        raise UserError(
            "no photo shows a tag of DICT_4X4_50; print one with a white border, and keep it flat "
            "and wholly in the picture"
        )
    return counts.most_common(1)[0]


def tag_model(
    camera: TagCamera,
    poses: Mapping[str, TagPose],
    corners: Mapping[str, Corners],
    tag_size: float,
) -> pycolmap.Reconstruction:
    """A COLMAP model of the photos, with the tag's corners as its points."""
    model = pycolmap.Reconstruction()
    (fx, _, cx), (_, fy, cy), _ = camera.matrix
    lens = pycolmap.Camera.create_from_model_name(1, "OPENCV", fx, *camera.size)
    # COLMAP's pixel centres lie at +0.5.
    lens.params = [fx, fy, cx + 0.5, cy + 0.5, *camera.distortion]
    model.add_camera_with_trivial_rig(lens)
    for number, name in enumerate(sorted(poses), start=1):
        pose = poses[name]
        image = pycolmap.Image(
            name=name, keypoints=corners[name] + 0.5, camera_id=1, image_id=number
        )
        placed = pycolmap.Rigid3d(np.column_stack([pose.rotation, pose.translation]))
        model.add_image_with_trivial_frame(image, placed)
    for index, corner in enumerate(tag_corners(tag_size)):
        track = pycolmap.Track()
        for number in range(1, len(poses) + 1):
            track.add_element(number, index)
        model.add_point3D(corner, track, np.zeros(3, np.uint8))
    model.update_point_3d_errors()
    return model
