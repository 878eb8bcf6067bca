"""transforms.json of instant-ngp and nerfstudio: captures with any lens, per photo or for all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.config import SceneConfig
from datasets.files.finder import Finder, list_photos, some
from datasets.files.numbers import matrix, number_of, shown
from datasets.files.text import read_object
from datasets.formats.axes import are_parallel, tell_axes, with_opengl_axes
from datasets.formats.common import (
    Intrinsics,
    captured_scene,
    fit_intrinsics,
    hold_out,
    orient,
    tell_sizes,
    undistorting,
)
from datasets.formats.intrinsics import declared_size, intrinsics_of, level_of
from datasets.photos import Frame
from datasets.scene import Scene
from errors import UserError
from geometry.poses import Poses, average_pose, check_poses, focus_point

# Names of the distortion's terms in OpenCV's order.
DISTORTION = ("k1", "k2", "p1", "p2", "k3")
FISHEYE = ("k1", "k2", "k3", "k4")
_MODELS = ("OPENCV", "OPENCV_FISHEYE", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")


@dataclass(frozen=True)
class View:
    """One entry of "frames".

    Attributes:
        frame: how to read the photo.
        intrinsics: of its pinhole camera.
        pose: (3, 4).
        declared: width and height that the file gives the photo.
    """

    frame: Frame
    intrinsics: Intrinsics
    pose: np.ndarray
    declared: tuple[float, float]


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
    poses = with_opengl_axes(poses, config.axes)
    if config.axes is None:
        tell_axes(poses, root.name)
    tell_sizes(root.name, [view.declared for view in views], [view.frame.size for view in views])
    return captured_scene(
        config,
        poses,
        [view.frame for view in views],
        [view.intrinsics for view in views],
        _splits(meta, names, [str(frame["file_path"]) for frame in frames], config, path),
        depth_range=None,
        nearest=_nearest(poses, config, path),
        near_plane_share=1.0,
    )


def _nearest(poses: Poses, config: SceneConfig, path: Path) -> float:
    """The nearest that anything is expected, as no bound is in the file.

    It is a fifth of the way to where the optical axes meet. Those of a slider or a light-field rig
    are parallel, and meet nowhere: then as far as the cameras are apart.
    """
    if not are_parallel(poses):
        focus = -(np.linalg.inv(average_pose(poses)) @ [*focus_point(poses), 1.0])[2]
        if abs(focus) > 0:
            return 0.2 * abs(focus)
    apart = float(np.linalg.norm(poses[:, None, :, 3] - poses[None, :, :, 3], axis=2).max())
    if not apart > 0:
        raise UserError(f"{path}: all cameras stand at one point: a scene needs several places")
    if config.near is None and not config.spheric_poses:
        print(
            f"{path.parent.name}: all cameras look the same way, so that nothing tells how near "
            f"things are; from {apart:.3g} on is taken; set --near where something is nearer"
        )
    return apart


def read_transforms(path: Path) -> dict[str, Any]:
    """The file's content, with at least one frame."""
    meta = read_object(path, "; is --root_dir right?")
    frames = meta.get("frames")
    if not isinstance(frames, list) or not frames:
        raise UserError(f'{path}: has no "frames"')
    if not all(isinstance(frame, dict) for frame in frames):
        raise UserError(f'{path}: "frames" must be a list of objects')
    return meta


def read_views(meta: dict[str, Any], path: Path) -> list[View]:
    """All frames of a transforms file beside its photos. Raises UserError naming what is wrong."""
    finder = Finder(path.parent)
    named = [frame.get("file_path") for frame in meta["frames"]]
    photos = [finder.find(name) for name in named]
    missing = [
        name if isinstance(name, str) else shown(name)
        for name, photo in zip(named, photos, strict=True)
        if photo is None
    ]
    if missing:
        folder = path.parent / "images"
        there = [photo.name for photo in list_photos(folder)] if folder.is_dir() else []
        raise UserError(
            f"{path}: {len(missing)} of {len(photos)} photos are missing: {some(missing)}"
            f"{f' (images/ has {some(there)})' if there else ''}; add them or take their frames out"
        )
    found = [photo for photo in photos if photo is not None]
    owners: dict[Path, set[str]] = {}
    for name, photo in zip(named, found, strict=True):
        owners.setdefault(photo, set()).add(str(name))
    for photo, names in owners.items():
        elsewhere = [name for name in sorted(names) if not finder.is_exact(name)]
        if len(names) > 1 and elsewhere:
            raise UserError(
                f"{path}: {shown(elsewhere[0])} is missing ({photo}, whose name fits, is taken by "
                "another frame)"
            )
    return [
        _read_view(meta, frame, photo, path, finder)
        for frame, photo in zip(meta["frames"], found, strict=True)
    ]


def _read_view(
    meta: dict[str, Any], frame: dict[str, Any], photo: Path, path: Path, finder: Finder
) -> View:
    where = f"{path}: {shown(frame['file_path'])}"
    if frame.get("transform_matrix") is None:
        raise UserError(f"{where} has no transform_matrix")
    matrices = ((4, 4), (3, 4))
    pose = matrix(frame["transform_matrix"], matrices, f"{where}: transform_matrix")[:3]
    own = {**meta, **{key: value for key, value in frame.items() if value is not None}}
    level = level_of(frame, meta, where)
    declared = declared_size(level, own, photo, where)
    size, upright = orient(photo, declared)
    pinhole = intrinsics_of(level, own, declared, where)
    intrinsics = fit_intrinsics(pinhole, declared, size, where)
    lens = None
    fisheye = bool(own.get("is_fisheye")) or "FISHEYE" in str(own.get("camera_model", ""))
    model = str(own.get("camera_model", "OPENCV"))
    if model not in _MODELS:
        raise UserError(
            f"{path}: camera_model {model} is not supported; undistort the photos first"
        )
    terms = FISHEYE if fisheye else DISTORTION
    coefficients = [number_of(own, key, where, 0.0) for key in terms]
    if fisheye or any(coefficients):
        lens, intrinsics = undistorting(intrinsics, coefficients, size, fisheye, where)
    mask = own.get("mask_path")
    mask_path = None if mask is None else finder.find_mask(mask)
    if mask is not None and mask_path is None:
        raise UserError(f"{path}: the mask {shown(mask)} is missing")
    name = (
        photo.relative_to(path.parent).as_posix()
        if photo.is_relative_to(path.parent)
        else photo.name
    )
    return View(
        Frame(name, size, photo, upright=upright, lens=lens, mask_path=mask_path),
        intrinsics,
        pose,
        declared,
    )


def _splits(
    meta: dict[str, Any], names: list[str], paths: list[str], config: SceneConfig, path: Path
) -> dict[str, list[int]]:
    """The file's own lists of names where it has them (nerfstudio), else every Nth held out.

    Args:
        names, paths: of the photos, as they were found and as the file has them.
    """
    index = {name: i for i, name in enumerate(names)}
    index |= {Path(name).as_posix(): i for i, name in enumerate(paths)}
    listed: dict[str, list[int]] = {}
    for split in ("train", "val", "test"):
        of_split = meta.get(f"{split}_filenames") or []
        if not isinstance(of_split, list):
            raise UserError(f'{path}: "{split}_filenames" must be a list, not {shown(of_split)}')
        listed[split] = [
            index[plain]
            for name in of_split
            if (plain := Path(str(name)).as_posix()) in index  # without a leading ./
        ]
    if listed["train"] and (listed["val"] or listed["test"]):
        listed["val"] = listed["val"] or listed["test"]
        listed["test"] = listed["test"] or listed["val"]
        return listed
    return hold_out(len(names), config)
