"""transforms.json of instant-ngp and nerfstudio: captures with any lens, per photo or for all."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.config import SceneConfig
from datasets.formats.common import Intrinsics, captured_scene, fit_intrinsics, hold_out, orient
from datasets.lens import Lens
from datasets.photos import ENDINGS, Frame, photo_size
from datasets.scene import Scene
from errors import UserError
from geometry.poses import average_pose, check_poses, focus_point

# Names of the distortion's terms in OpenCV's order.
_DISTORTION = ("k1", "k2", "p1", "p2", "k3")
_FISHEYE = ("k1", "k2", "k3", "k4")
_MODELS = ("OPENCV", "OPENCV_FISHEYE", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")


@dataclass(frozen=True)
class View:
    """One entry of "frames": how to read the photo, its pinhole camera, its pose (3, 4)."""

    frame: Frame
    intrinsics: Intrinsics
    pose: np.ndarray


def load_transforms(config: SceneConfig) -> Scene:
    """Load root_dir/transforms.json; poses are brought to a scale that networks take well.

    The scene's centre is where the cameras look, and its unit the cameras' mean distance from
    there; a forward-facing capture is put into NDC.
    """
    root = Path(config.root_dir)
    path = root / "transforms.json"
    if not path.exists() and (root / "transforms_train.json").exists():
        raise UserError(f"{root}: this is a Blender-format scene; use --dataset_name blender")
    meta = read_transforms(path)
    frames = sorted(meta["frames"], key=lambda frame: str(frame.get("file_path", "")))
    views = read_views({**meta, "frames": frames}, path)
    names = [view.frame.name for view in views]
    poses = check_poses(np.stack([view.pose for view in views]), names, path.name)

    # No bound is in the file: nothing is expected nearer than a fifth of the way to where the
    # optical axes meet.
    focus = -(np.linalg.inv(average_pose(poses)) @ [*focus_point(poses), 1.0])[2]
    return captured_scene(
        config,
        poses,
        [view.frame for view in views],
        [view.intrinsics for view in views],
        _splits(meta, names, config),
        depth_range=None,
        nearest=0.2 * abs(focus),
        near_plane_share=1.0,
    )


def read_transforms(path: Path) -> dict[str, Any]:
    """The file's content, with at least one frame."""
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; is --root_dir right?") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error
    frames = meta.get("frames") if isinstance(meta, dict) else None
    if not isinstance(frames, list) or not frames:
        raise UserError(f'{path}: has no "frames"')
    if not all(isinstance(frame, dict) for frame in frames):
        raise UserError(f'{path}: "frames" must be a list of objects')
    return meta


def read_views(meta: dict[str, Any], path: Path) -> list[View]:
    """All frames of a transforms file beside its photos. Raises UserError naming what is wrong."""
    missing = [
        str(frame.get("file_path"))
        for frame in meta["frames"]
        if _find(path.parent, frame.get("file_path")) is None
    ]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"{path}: {len(missing)} of {len(meta['frames'])} photos are missing: "
            f"{', '.join(missing[:3])}{more}; add them or take their frames out"
        )
    return [_read_view(meta, frame, path) for frame in meta["frames"]]


def _read_view(meta: dict[str, Any], frame: dict[str, Any], path: Path) -> View:
    photo = _find(path.parent, frame["file_path"])
    assert photo is not None
    pose = _pose(frame, path)
    # Intrinsics belong to the photo size that stands beside them; the photo may be smaller.
    own = {**meta, **frame}
    level = frame if {"fl_x", "camera_angle_x"} & frame.keys() else meta
    declared = _declared_size(level, own, photo)
    size, upright = orient(photo, declared)
    intrinsics = fit_intrinsics(_intrinsics(level, own, declared, path), declared, size)
    lens = None
    fisheye = bool(own.get("is_fisheye")) or "FISHEYE" in str(own.get("camera_model", ""))
    model = str(own.get("camera_model", "OPENCV"))
    if model not in _MODELS:
        raise UserError(
            f"{path}: camera_model {model} is not supported; undistort the photos first"
        )
    coefficients = [_number(own, key, path, 0.0) for key in (_FISHEYE if fisheye else _DISTORTION)]
    if fisheye or any(coefficients):
        lens, intrinsics = Lens.pinhole_of(intrinsics, coefficients, size, fisheye)
    mask = own.get("mask_path")
    mask_path = None if mask is None else _find(path.parent, mask)
    if mask is not None and mask_path is None:
        raise UserError(f"{path}: the mask {mask} is missing")
    name = (
        photo.relative_to(path.parent).as_posix()
        if photo.is_relative_to(path.parent)
        else photo.name
    )
    return View(
        Frame(name, size, photo, upright=upright, lens=lens, mask_path=mask_path),
        intrinsics,
        pose,
    )


def _pose(frame: dict[str, Any], path: Path) -> np.ndarray:
    try:
        pose = np.array(frame["transform_matrix"], dtype=np.float64)
    except KeyError as error:
        raise UserError(f"{path}: {frame['file_path']} has no transform_matrix") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: transform_matrix of {frame['file_path']}: {error}") from error
    if pose.shape not in ((4, 4), (3, 4)):
        raise UserError(
            f"{path}: transform_matrix of {frame['file_path']} has shape {pose.shape}, not (4, 4)"
        )
    return pose[:3]


def _declared_size(level: dict[str, Any], own: dict[str, Any], photo: Path) -> tuple[float, float]:
    source = level if "w" in level and "h" in level else own
    if "w" in source and "h" in source:
        return float(source["w"]), float(source["h"])
    width, height = photo_size(photo)[0]
    return float(width), float(height)


def _intrinsics(
    level: dict[str, Any], own: dict[str, Any], size: tuple[float, float], path: Path
) -> Intrinsics:
    width, height = size
    if "fl_x" in level:
        fx = _number(level, "fl_x", path)
        fy = _number(level, "fl_y", path, fx)
    elif "camera_angle_x" in level:
        fx = 0.5 * width / math.tan(0.5 * _number(level, "camera_angle_x", path))
        fy = fx
        if "camera_angle_y" in level:
            fy = 0.5 * height / math.tan(0.5 * _number(level, "camera_angle_y", path))
    else:
        raise UserError(f'{path}: neither "fl_x" nor "camera_angle_x" gives the focal length')
    source = level if "cx" in level else own
    cx, cy = _number(source, "cx", path, width / 2), _number(source, "cy", path, height / 2)
    if not (fx > 0 and fy > 0):
        raise UserError(f"{path}: the focal length must be positive, not {fx}, {fy}")
    return fx, fy, cx, cy


def _number(source: dict[str, Any], key: str, path: Path, default: float | None = None) -> float:
    value = source.get(key, default)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise UserError(f'{path}: "{key}" must be a number, not {value!r}') from error
    if not math.isfinite(number):
        raise UserError(f'{path}: "{key}" is {number}')
    return number


def _find(root: Path, file_path: Any) -> Path | None:
    """The file that `file_path` means: with or without ending, / or \\, or in images/."""
    if not isinstance(file_path, str) or not file_path:
        return None
    given = Path(file_path.replace("\\", "/"))
    for base in (root / given, root / "images" / given.name, root / given.name):
        if base.is_file():
            return base
        for ending in ENDINGS:
            for spelling in (ending, ending.upper()):
                named = base.with_name(base.name + spelling)
                if named.is_file():
                    return named
    return None


def _splits(meta: dict[str, Any], names: list[str], config: SceneConfig) -> dict[str, list[int]]:
    """The file's own lists of names where it has them (nerfstudio), else every Nth held out."""
    index = {name: i for i, name in enumerate(names)}
    listed = {
        split: [
            index[plain]
            for name in meta.get(f"{split}_filenames", [])
            if (plain := Path(str(name)).as_posix()) in index  # without a leading ./
        ]
        for split in ("train", "val", "test")
    }
    if listed["train"] and (listed["val"] or listed["test"]):
        listed["val"] = listed["val"] or listed["test"]
        listed["test"] = listed["test"] or listed["val"]
        return listed
    return hold_out(len(names), config)
