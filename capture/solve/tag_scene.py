"""A scene from photos of a tag: the same layout, and the class project's .npz beside it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from jaxtyping import Float
from PIL import Image

from capture.checks.advice import Outcome, advise
from capture.checks.check import FEWEST, NO_TAG, Verdict, check_photos, parallax
from capture.checks.report import draw_scene, make_report, write_report
from capture.input.photos import Photo, load_rgb
from capture.output.export import Exported, export
from capture.output.orient import Placement
from capture.solve.aruco import Corners, Tags, calibrate, find_tags, tag_corners
from capture.solve.tag_adjustment import Adjustment, adjust_tags
from capture.solve.tag_chain import rigid, transform
from datasets.sparse.model import OPENCV_TO_OPENGL, camera_to_world, registered
from errors import UserError
from geometry.capture_kind import capture_kind
from writing.files import replacing

NPZ = "scene.npz"
_NPZ_SIZE = 400  # longer side of its images in pixels


def make_tag_scene(
    photos: Sequence[Photo],
    skipped: Sequence[str],
    root: Path,
    work: Path,
    tag_size: float,
    tags: Tags,
    calibration: Sequence[Path],
) -> dict[str, Any]:
    """Solve and write the scene by the tags alone; its report.

    Args:
        photos, skipped: as read.
        root, work: folders of the scene and of what is not finished.
        tag_size: side of the black squares, in metres.
        tags: that the photos show.
        calibration: prepared photos to calibrate from; empty: the photos themselves.
    """
    size = photos[0].size
    camera = calibrate(_views(calibration, size) or list(tags.values()), tag_size, size)
    found = adjust_tags(camera, tags, tag_size)
    if len(found.photos) < FEWEST:
        raise UserError(
            f"the tags give a pose to {len(found.photos)} of {len(photos)} photos; at least "
            f"{FEWEST} are needed: keep whole tags in the picture, sharp and flat"
        )
    model = tag_model(found, tags, tag_size)
    poses = camera_to_world(registered(model))
    # What is photographed stands on the tags or beside them: half as near, half as far again.
    distance = _distances(found)
    bounds = np.tile([0.5 * distance.min(), 1.5 * distance.max()], (len(poses), 1))
    exported = export(
        model,
        lambda name: (load_rgb(work / "images" / name), None),
        root,
        work,
        placement=Placement(capture_kind(poses), np.eye(4), "tag"),
        bounds=bounds,
    )
    write_npz(root / NPZ, exported, root / "images")
    verdicts = _verdicts(photos, found)
    solver = {
        "try": "aruco",
        "tag": found.first,
        "tag_size": tag_size,
        "tags": sorted(found.tags),
        "calibration_error_px": round(camera.error, 3),
        "calibration_left_out": camera.left_out,
        "focal_px": round(float(found.camera.matrix[0, 0]), 2),
        "reprojection_error_px": round(found.camera.error, 3),
    }
    poor = camera.error if camera.poor else None
    advice = advise(Outcome(list(verdicts.values()), len(poses), parallax(model), calibration=poor))
    report = make_report(photos, skipped, verdicts, {}, advice, exported, solver)

    def load(name: str) -> np.ndarray:
        return load_rgb(work / "images" / name)

    write_report(root, report, photos, load)
    draw_scene(root, model, exported, photos, load)
    return report


def tag_model(found: Adjustment, tags: Tags, tag_size: float) -> pycolmap.Reconstruction:
    """A COLMAP model of the photos, with the tags' corners as its points."""
    model = pycolmap.Reconstruction()
    (fx, _, cx), (_, fy, cy), _ = found.camera.matrix
    lens = pycolmap.Camera.create_from_model_name(1, "OPENCV", fx, *found.camera.size)
    # COLMAP's pixel centres lie at +0.5.
    lens.params = [fx, fy, cx + 0.5, cy + 0.5, *found.camera.distortion]
    model.add_camera_with_trivial_rig(lens)
    tracks: dict[tuple[int, int], pycolmap.Track] = defaultdict(pycolmap.Track)
    for number, name in enumerate(sorted(found.photos), start=1):
        pose = found.photos[name]
        keypoints: list[np.ndarray] = []
        for tag, kept in found.kept[name].items():
            for corner in np.flatnonzero(kept).tolist():
                tracks[tag, corner].add_element(number, len(keypoints))
                keypoints.append(tags[name][tag][corner] + 0.5)
        image = pycolmap.Image(
            name=name, keypoints=np.stack(keypoints), camera_id=1, image_id=number
        )
        placed = pycolmap.Rigid3d(np.column_stack([pose.rotation, pose.translation]))
        model.add_image_with_trivial_frame(image, placed)
    square = tag_corners(tag_size)
    for (tag, corner), track in sorted(tracks.items(), key=lambda item: item[0]):
        if track.length() > 1:
            place = transform(found.tags[tag], square[[corner]])[0]
            model.add_point3D(place, track, np.zeros(3, np.uint8))
    model.update_point_3d_errors()
    return model


def _distances(found: Adjustment) -> Float[np.ndarray, "view"]:
    """From each photo to the tags that it shows."""
    return np.array(
        [
            np.linalg.norm(
                transform(rigid(pose.rotation, pose.translation), found.tags[tag][None, :3, 3])
            )
            for name, pose in found.photos.items()
            for tag, kept in found.kept[name].items()
            if kept.any()
        ]
    )


def check_one_size(photos: Sequence[Photo]) -> None:
    """Raise UserError for photos of several sizes: they are one camera's, and one array."""
    sizes = {photo.size for photo in photos}
    if len(sizes) > 1:
        listed = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
        raise UserError(
            f"--aruco needs photos of one size, not {listed}: use one camera, one way up"
        )


def write_npz(path: Path, exported: Exported, folder: Path) -> None:
    """The class project's arrays: images and OpenCV camera-to-worlds by split, focal in pixels.

    Every eighth photo is for validation; c2ws_test circles the tag.
    """
    pinhole = exported.pinholes[0]
    factor = min(1.0, _NPZ_SIZE / max(pinhole.width, pinhole.height))
    size = (round(pinhole.width * factor), round(pinhole.height * factor))
    images = []
    for name in exported.names:
        with Image.open(folder / name) as image:
            images.append(np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS)))
    stack = np.stack(images)
    c2ws = np.tile(np.eye(4), (len(images), 1, 1))
    c2ws[:, :3] = exported.poses
    c2ws[:, :3, :3] = c2ws[:, :3, :3] @ OPENCV_TO_OPENGL
    validation = np.arange(len(images)) % 8 == 0
    with replacing(path) as temporary:
        np.savez_compressed(
            temporary,
            images_train=stack[~validation],
            c2ws_train=c2ws[~validation],
            images_val=stack[validation],
            c2ws_val=c2ws[validation],
            c2ws_test=circle(c2ws[:, :3, 3]),
            focal=np.float64(pinhole.focal * size[0] / pinhole.width),
        )


def circle(
    centres: Float[np.ndarray, "camera 3"], count: int = 60
) -> Float[np.ndarray, "pose 4 4"]:
    """Cameras on a circle around the z axis that look at the origin, OpenCV axes.

    Height and radius are the means of the given cameras'.
    """
    height = float(centres[:, 2].mean())
    radius = float(np.linalg.norm(centres[:, :2], axis=1).mean())
    poses = np.tile(np.eye(4), (count, 1, 1))
    for pose, angle in zip(poses, np.arange(count) * 2 * math.pi / count, strict=True):
        centre = np.array([radius * math.cos(angle), radius * math.sin(angle), height])
        ahead = -centre / np.linalg.norm(centre)
        right = np.array([-math.sin(angle), math.cos(angle), 0.0])
        pose[:3] = np.stack([right, np.cross(ahead, right), ahead, centre], axis=1)
    return poses


def _views(calibration: Sequence[Path], size: tuple[int, int]) -> list[Mapping[int, Corners]]:
    """The tags in the calibration photos, in pixels of a photo of `size`."""
    views: list[Mapping[int, Corners]] = []
    for path in calibration:
        photo = load_rgb(path)
        height, width = photo.shape[:2]
        if abs(width / height - size[0] / size[1]) > 0.01:
            raise UserError(
                f"--calibration: {path.name} is {width} x {height}, of another shape than the "
                f"photos, {size[0]} x {size[1]}: hold the camera the same way and keep its zoom"
            )
        scale = np.array([size[0] / width, size[1] / height])
        views.append({tag: (found + 0.5) * scale - 0.5 for tag, found in find_tags(photo).items()})
    return views


def _verdicts(photos: Sequence[Photo], found: Adjustment) -> dict[str, Verdict]:
    verdicts = check_photos(photos)
    for photo in photos:
        if photo.name in found.photos:
            unfit = sorted(t for t, kept in found.kept[photo.name].items() if not kept.all())
            named = f"tag{'s' * (len(unfit) > 1)} {', '.join(map(str, unfit))}"
            notes = [f"corners of {named} left out"] if unfit else []
        else:
            notes = [f"NOT PLACED ({found.lost.get(photo.name, NO_TAG)})"]
        verdicts[photo.name] = Verdict(photo.name, (*notes, *verdicts[photo.name].notes))
    return verdicts
