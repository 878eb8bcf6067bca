"""A solved model in the frame and the scale of a printed tag.

Features solve the photos, also those that do not show the tag; the tag says where the world's
origin is, and how long a metre is. Its frame is that of aruco.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import cv2
import numpy as np
import pycolmap
from jaxtyping import Float

from capture.solve.aruco import Corners, Tags, tag_corners
from datasets.sparse.model import registered

# Root mean square of the tags' corners, in sides of a tag, from which the model and they disagree.
_MISFIT = 0.1
_FEWEST_VIEWS = 2  # of a tag, to find its corners
_OUTLIER = 5.0  # pixels from which a photo's corners are taken for a wrong detection
_COLMAP_PIXEL = 0.5  # the centre of its first pixel; OpenCV's is 0


def to_tag_frame(model: pycolmap.Reconstruction, tags: Tags, tag_size: float) -> int | None:
    """Move a model into the frame of the tag that most of its photos show; changed in place.

    The scale is the mean over all tags. Then the tag's corners are held where they are known to
    be, and all cameras and points are adjusted together with them.

    Args:
        model: of the photos, solved by features.
        tags: corners of the tags in each photo, by the photos' names.
        tag_size: side of each tag.

    Returns:
        The tag's id; None where too few photos show a tag, or the tags are at odds with the model.
    """
    found = {tag: corners_in_model(model, seen) for tag, seen in _by_tag(model, tags).items()}
    known = {tag: corners for tag, corners in found.items() if corners is not None}
    if not known:
        return None
    seen = _by_tag(model, tags)
    main = max(known, key=lambda tag: (len(seen[tag]), -tag))
    sides = np.concatenate(
        [np.linalg.norm(c - np.roll(c, 1, axis=0), axis=1) for c in known.values()]
    )
    scale = tag_size / float(np.median(sides))
    target = tag_corners(tag_size)
    # Umeyama (1991), of scaled corners: what scale is left over is an error of this tag alone.
    pose, _ = cv2.estimateAffine3D(scale * known[main], target, force_rotation=True)
    rotation = pose[:, :3]
    shift = target.mean(axis=0) - scale * rotation @ known[main].mean(axis=0)
    moved = pycolmap.Sim3d(np.column_stack([scale * rotation, shift]))
    misfit = moved * known[main] - target
    if np.sqrt((misfit**2).sum(axis=1).mean()) > _MISFIT * tag_size:
        return None
    model.transform(moved)
    _adjust(model, seen[main], target)
    return main


def corners_in_model(
    model: pycolmap.Reconstruction, seen: Mapping[int, Corners]
) -> Float[np.ndarray, "4 3"] | None:
    """A tag's corners where the rays of the photos that show it meet; outliers are left out.

    Args:
        seen: the corners in each image, by its id.
    """
    if len(seen) < _FEWEST_VIEWS:
        return None
    images = [model.images[image_id] for image_id in seen]
    poses = [image.cam_from_world() for image in images]
    cameras = [model.cameras[image.camera_id] for image in images]
    pixels = np.stack(list(seen.values())) + _COLMAP_PIXEL
    found = [
        pycolmap.estimate_triangulation(np.ascontiguousarray(pixels[:, i]), poses, cameras)
        for i in range(4)
    ]
    places = [one["xyz"] for one in found if one is not None]
    return np.stack(places) if len(places) == 4 else None


def _adjust(
    model: pycolmap.Reconstruction, seen: Mapping[int, Corners], target: Float[np.ndarray, "4 3"]
) -> None:
    """Refine cameras and points with the tag's corners among them, held at their places."""
    points = []
    for number, place in enumerate(target):
        track = pycolmap.Track()
        for image_id, corners in seen.items():
            if _error(model, image_id, corners, target) > _OUTLIER:
                continue
            image = model.images[image_id]
            track.add_element(image_id, len(image.points2D))
            image.points2D.append(pycolmap.Point2D(corners[number] + _COLMAP_PIXEL))
        points.append(model.add_point3D(place, track, np.zeros(3, np.uint8)))
    config = pycolmap.BundleAdjustmentConfig()
    for image in registered(model):
        config.add_image(image.image_id)
    for point in points:
        config.add_constant_point(point)
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
    model.update_point_3d_errors()


def _error(
    model: pycolmap.Reconstruction,
    image_id: int,
    corners: Corners,
    target: Float[np.ndarray, "4 3"],
) -> float:
    """Root mean square of the corners' reprojection in an image, in pixels."""
    image = model.images[image_id]
    shown = model.cameras[image.camera_id].img_from_cam(image.cam_from_world() * target)
    if shown is None:  # behind the camera
        return np.inf
    return float(np.sqrt(((shown - _COLMAP_PIXEL - corners) ** 2).sum(axis=1).mean()))


def _by_tag(model: pycolmap.Reconstruction, tags: Tags) -> dict[int, dict[int, Corners]]:
    """The corners by tag and image."""
    seen: dict[int, dict[int, Corners]] = defaultdict(dict)
    for image in registered(model):
        for tag, corners in tags.get(image.name, {}).items():
            seen[tag][image.image_id] = corners
    return dict(seen)
