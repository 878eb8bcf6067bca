"""A scene from photos of a tag: the same layout, and the class project's .npz beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from capture.checks.advice import Outcome, advise
from capture.checks.check import FEWEST, NO_TAG, Verdict, check_photos, parallax
from capture.checks.report import draw_scene, make_report, write_report
from capture.input.photos import Photo, load_rgb
from capture.output.export import Exported, export
from capture.output.orient import Placement
from capture.solve.aruco import (
    Corners,
    TagPose,
    Tags,
    calibrate,
    find_tags,
    most_seen,
    solve_pose,
    tag_model,
)
from datasets.sparse.model import OPENCV_TO_OPENGL
from errors import UserError
from geometry.capture_kind import capture_kind
from writing.files import replacing

NPZ = "scene.npz"
_NPZ_SIZE = 400  # longer side of its images in pixels
_ERROR = 3.0  # pixels of reprojection from which a pose is not believed


def make_tag_scene(
    photos: Sequence[Photo],
    skipped: Sequence[str],
    root: Path,
    work: Path,
    tag_size: float,
    tags: Tags,
    calibration: Sequence[Path],
) -> dict[str, Any]:
    """Solve and write the scene by the tag that most photos show, alone; its report.

    Args:
        photos, skipped: as read.
        root, work: folders of the scene and of what is not finished.
        tag_size: side of the black square, in metres.
        tags: that the photos show.
        calibration: prepared photos to calibrate from; empty: the photos themselves.
    """
    size = photos[0].size
    tag, _ = most_seen(list(tags.values()))
    corners = {name: seen[tag] for name, seen in tags.items() if tag in seen}
    camera = calibrate(_views(calibration, size) or list(tags.values()), tag_size, size)

    poses: dict[str, TagPose] = {}
    for name, found in corners.items():
        pose = solve_pose(camera, found, tag_size)
        if pose is not None and pose.error < _ERROR:
            poses[name] = pose
    if len(poses) < FEWEST:
        raise UserError(
            f"the tag gives a pose to {len(poses)} of {len(photos)} photos; at least {FEWEST} are "
            "needed: keep the whole tag in the picture, sharp and flat"
        )
    model = tag_model(camera, poses, corners, tag_size)
    centres = [-pose.rotation.T @ pose.translation for pose in poses.values()]
    distance = np.linalg.norm(centres, axis=1)
    rotations = [pose.rotation.T @ OPENCV_TO_OPENGL for pose in poses.values()]
    c2w = np.concatenate([np.stack(rotations), np.stack(centres).reshape(-1, 3, 1)], axis=2)
    # What is photographed stands on the tag or beside it: half as near, half as far again.
    bounds = np.tile([0.5 * distance.min(), 1.5 * distance.max()], (len(poses), 1))
    exported = export(
        model,
        lambda name: (load_rgb(work / "images" / name), None),
        root,
        work,
        placement=Placement(capture_kind(c2w), np.eye(4), "tag"),
        bounds=bounds,
    )
    write_npz(root / NPZ, exported, root / "images")
    verdicts = _verdicts(photos, set(corners), poses)
    solver = {
        "try": "aruco",
        "tag": tag,
        "tag_size": tag_size,
        "calibration_error_px": round(camera.error, 3),
        "focal_px": round(float(camera.matrix[0, 0]), 2),
    }
    advice = advise(Outcome(list(verdicts.values()), len(poses), parallax(model)))
    report = make_report(photos, skipped, verdicts, {}, advice, exported, solver)

    def load(name: str) -> np.ndarray:
        return load_rgb(work / "images" / name)

    write_report(root, report, photos, load)
    draw_scene(root, model, exported, photos, load)
    return report


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


def _verdicts(
    photos: Sequence[Photo], seen: set[str], poses: dict[str, TagPose]
) -> dict[str, Verdict]:
    verdicts = check_photos(photos)
    for photo in photos:
        if photo.name not in seen:
            lost = f"NOT PLACED ({NO_TAG})"
        elif photo.name not in poses:
            lost = "NOT PLACED (the tag is bent or blurred)"
        else:
            continue
        verdicts[photo.name] = Verdict(photo.name, (lost, *verdicts[photo.name].notes))
    return verdicts
