"""COLMAP reconstructions: photos beside a sparse model, of any cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from datasets.config import SceneConfig
from datasets.files.finder import Finder, list_photos, some
from datasets.files.text import is_file
from datasets.formats.common import (
    Intrinsics,
    captured_scene,
    fit_intrinsics,
    hold_out,
    orient,
    tell_sizes,
    undistorting,
)
from datasets.photos import Frame, find_mask
from datasets.scene import Scene
from datasets.sparse.model import camera_to_world, depth_bounds, find_model, registered
from errors import UserError
from geometry.poses import check_poses


def load_colmap(config: SceneConfig) -> Scene:
    """Load root_dir/sparse/0 (or the model with the most photos) and root_dir/images.

    Near and far come from the points that the cameras see. A forward-facing capture is put into
    NDC, its nearest point a little beyond the near plane; another is centred on where the
    cameras look, with their mean distance from there as the unit.
    """
    root = Path(config.root_dir)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; is --root_dir right?")
    model, folder = find_model(root)
    images = registered(model)
    photos = _photos(_photo_folder(root, folder), root, [image.name for image in images])
    names = [image.name for image in images]
    poses = check_poses(camera_to_world(images), names, str(folder))
    near, far = _range(model, images, folder, config)
    cameras = [model.cameras[image.camera_id] for image in images]
    views = [
        _view(root, image.name, camera, photo, folder)
        for image, camera, photo in zip(images, cameras, photos, strict=True)
    ]
    tell_sizes(root.name, [(c.width, c.height) for c in cameras], [f.size for f, _ in views])
    return captured_scene(
        config,
        poses,
        [frame for frame, _ in views],
        [intrinsics for _, intrinsics in views],
        hold_out(len(views), config),
        depth_range=(near, far),
        nearest=near,
    )


def _range(model: Any, images: list[Any], folder: Path, config: SceneConfig) -> tuple[float, float]:
    """Near and far for all cameras; a stray camera or two does not decide.

    Where no point tells, --near and --far do.
    """
    try:
        bounds = depth_bounds(model, images)
    except UserError as error:
        if config.near and config.far:
            return config.near, config.far
        raise UserError(f"{folder}: {error}") from error
    near, far = np.percentile(bounds[:, 0], 2), np.percentile(bounds[:, 1], 98)
    if not 0 < near < far:
        raise UserError(f"{folder}: the points do not tell near and far; give --near and --far")
    return float(near), float(far)


def _photo_folder(root: Path, model: Path) -> Path:
    """images/ beside the model or in the nearest folder above it, up to the scene's."""
    for folder in (model, *model.parents):
        if (folder / "images").is_dir():
            return folder / "images"
        if folder == root:
            break
    return root


def _photos(folder: Path, root: Path, names: list[str]) -> list[Path]:
    """The file of each image. Raises UserError naming those that are missing."""
    photos = [folder / name for name in names]
    if all(map(is_file, photos)):
        return photos
    near, everywhere = Finder(folder), Finder(root)
    found = [near.find(name) or everywhere.find(name) for name in names]
    missing = [name for name, photo in zip(names, found, strict=True) if photo is None]
    there = [photo for photo in found if photo is not None]
    if missing or len(set(there)) < len(set(names)):
        others = [path.name for path in list_photos(folder) if path not in set(there)]
        renamed = f" (there are {some(others)}: were they renamed after the solve?)"
        raise UserError(
            f"{folder}: {len(missing) or 'several'} of the model's {len(names)} photos are missing:"
            f" {some(missing or names)}{renamed if others else ''}; put them back, or convert what "
            f"is there: prepare.py --input {root} --root_dir ..."
        )
    return there


def _view(root: Path, name: str, camera: Any, photo: Path, model: Path) -> tuple[Frame, Intrinsics]:
    """How to read the photo, and its pinhole camera."""
    where = f"{model}: {name}"
    pinhole, coefficients, fisheye = _intrinsics(camera, model)
    # COLMAP knows no EXIF orientation: the photo is what is stored, unless its sides say else.
    size, upright = orient(photo, (camera.width, camera.height))
    pinhole = fit_intrinsics(pinhole, (camera.width, camera.height), size, where)
    lens = None
    if any(coefficients):
        lens, pinhole = undistorting(pinhole, coefficients, size, fisheye, where)
    mask = find_mask(root / "masks", photo.name)
    return Frame(name, size, photo, upright=upright, lens=lens, mask_path=mask), pinhole


def _intrinsics(camera: Any, model: Path) -> tuple[Intrinsics, list[float], bool]:
    """fx, fy, cx, cy; OpenCV's distortion coefficients; whether they are a fisheye lens's."""
    kind = camera.model_name
    if kind not in _EXTRA_PARAMS:
        raise UserError(
            f"{model}: {kind} cameras are not read directly; undistort them first: "
            "prepare.py --input (the folder with images and sparse) --root_dir (a new folder)"
        )
    pinhole = (
        camera.focal_length_x,
        camera.focal_length_y,
        camera.principal_point_x,
        camera.principal_point_y,
    )
    order = _EXTRA_PARAMS[kind]
    values = camera.params.tolist()[len(camera.params) - len(order) :]
    terms: dict[str, float] = dict(zip(order, values, strict=True))
    fisheye = kind.endswith("FISHEYE")
    wanted = (
        ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
    )
    return pinhole, [terms.get(name, 0.0) for name in wanted], fisheye


# The distortion that each of COLMAP's models has, in the order of its parameters.
_EXTRA_PARAMS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": (),
    "PINHOLE": (),
    "SIMPLE_RADIAL": ("k1",),
    "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "SIMPLE_RADIAL_FISHEYE": ("k1",),
    "RADIAL_FISHEYE": ("k1", "k2"),
    "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"),
}
