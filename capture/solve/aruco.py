"""Poses from a printed ArUco tag: calibrate, find the tag, solve its pose in each photo.

The tag's frame is the world: its centre is the origin, +x right, +y up on the paper, +z out of
the paper; lengths are those of --tag_size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from errors import UserError

# Corners of one tag in pixels, OpenCV's convention (centres at whole numbers), from the top left
# clockwise.
Corners = Float[np.ndarray, "4 2"]
# Of each photo, by its name: the corners of the tags that it shows, by their ids.
Tags = Mapping[str, Mapping[int, Corners]]

_FEWEST_VIEWS = 3  # of the tag, to calibrate from
# Errors of a calibration, in long sides of the photo. Sharp corners of a flat tag are found to 0.1
# to 0.3 pixels of 1600. At 1 pixel, half a percent of a tag that is 200 across, the focal length
# is off by percents, and with it all distances.
_GOOD, _POOR, _FAILED = 0.5 / 1600, 1 / 1600, 0.01
_ODD = 3.0  # times the median error: a view that is covered, bent or blurred
_TRIMS = 3  # calibrations without the odd views of the one before


@dataclass(frozen=True)
class TagCamera:
    """Intrinsics in OpenCV's convention: the matrix, and k1, k2, p1, p2."""

    matrix: Float[np.ndarray, "3 3"]
    distortion: Float[np.ndarray, "4"]
    size: tuple[int, int]
    error: float  # root mean square of the reprojection, in pixels
    left_out: int = 0  # views of a tag that fit far worse than the others

    @property
    def poor(self) -> bool:
        """Whether its error is larger than sharp photos of a flat tag leave."""
        return self.error > _POOR * max(self.size)


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

    Views that fit far worse than the others are left out.

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
    count = len(seen)
    camera, errors = _calibrate(seen, tag_size, size)
    for _ in range(_TRIMS):
        fits = errors <= max(_ODD * np.median(errors), _GOOD * max(size))
        if fits.all() or fits.sum() < _FEWEST_VIEWS:
            break
        seen = [corners for corners, fit in zip(seen, fits, strict=True) if fit]
        camera, errors = _calibrate(seen, tag_size, size)
    focal = camera.matrix[0, 0]
    if not (0.2 * max(size) < focal < 10 * max(size)) or camera.error > _FAILED * max(size):
        raise UserError(
            f"calibration failed (focal length {focal:.0f} px, error {camera.error:.1f} px): "
            "photograph the tag slanted, from at least ten directions, near and far"
        )
    return replace(camera, left_out=count - len(seen))


def _calibrate(
    seen: Sequence[Corners], tag_size: float, size: tuple[int, int]
) -> tuple[TagCamera, Float[np.ndarray, "view"]]:
    """Intrinsics from views of one square, and the error of each."""
    # Four corners a view, most of them in the middle, carry a focal length and one term of
    # distortion; a free principal point takes a percent of the focal length with it.
    flags = cv2.CALIB_FIX_PRINCIPAL_POINT | cv2.CALIB_FIX_ASPECT_RATIO
    flags |= cv2.CALIB_ZERO_TANGENT_DIST | cv2.CALIB_FIX_K2 | cv2.CALIB_FIX_K3
    guess = np.array(
        [[max(size), 0, (size[0] - 1) / 2], [0, max(size), (size[1] - 1) / 2], [0, 0, 1]]
    )
    try:
        error, matrix, distortion, *_, errors = cv2.calibrateCameraExtended(
            [tag_corners(tag_size).astype(np.float32)] * len(seen),
            [corners.astype(np.float32) for corners in seen],
            size,
            guess.astype(np.float64),
            np.zeros(5),
            flags=flags | cv2.CALIB_USE_INTRINSIC_GUESS,
        )
    except cv2.error as failed:
        raise UserError("calibration failed: photograph the tag from more directions") from failed
    lens = np.asarray(distortion).reshape(-1)[:4]
    camera = TagCamera(np.asarray(matrix), lens, size, float(error))
    return camera, np.asarray(errors).reshape(-1)


def tag_poses(camera: TagCamera, corners: Corners, tag_size: float) -> list[TagPose]:
    """The poses of the tag (Collins and Bartoli, 2014: IPPE), refined, the best first.

    A square has two poses that look alike. None where its corners are those of no square.
    """
    target = tag_corners(tag_size)
    # OpenCV's closed form, seldom, gives NaN for corners that it solves at the next call; the
    # second method stands in for it.
    for method in (cv2.SOLVEPNP_IPPE_SQUARE, cv2.SOLVEPNP_SQPNP):
        count, rotations, translations, _ = cv2.solvePnPGeneric(
            target, corners, camera.matrix, camera.distortion, flags=method
        )
        starts = list(zip(rotations, translations, strict=True))[:count]
        found = [_refined(camera, target, corners, *start) for start in starts]
        poses = [pose for pose in found if np.isfinite(pose.error)]
        if poses:
            return sorted(poses, key=lambda pose: pose.error)
    return []


def _refined(
    camera: TagCamera,
    target: Float[np.ndarray, "4 3"],
    corners: Corners,
    rotation: np.ndarray,
    shift: np.ndarray,
) -> TagPose:
    """A pose at its least error, by Levenberg's and Marquardt's method, if that is better."""
    poses = []
    for turn, move in (
        (rotation, shift),
        cv2.solvePnPRefineLM(
            target, corners, camera.matrix, camera.distortion, rotation.copy(), shift.copy()
        ),
    ):
        shown, _ = cv2.projectPoints(target, turn, move, camera.matrix, camera.distortion)
        error = float(np.sqrt(((shown.reshape(4, 2) - corners) ** 2).sum(1).mean()))
        matrix = np.asarray(cv2.Rodrigues(turn)[0])
        poses.append(TagPose(matrix, np.asarray(move).reshape(3), error))
    return min(poses, key=lambda pose: pose.error if np.isfinite(pose.error) else np.inf)


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
