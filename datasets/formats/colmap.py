"""COLMAP reconstructions: photos beside a sparse model, of any cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from datasets.config import SceneConfig
from datasets.formats.common import Intrinsics, captured_scene, fit_intrinsics, hold_out, orient
from datasets.lens import Lens
from datasets.photos import Frame, find_mask
from datasets.scene import Scene
from datasets.sparse.model import camera_to_world, depth_bounds, read_model, registered
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
    model = read_model(root)
    images = registered(model)
    photos = _photos(root, [image.name for image in images])
    names = [image.name for image in images]
    poses = check_poses(camera_to_world(images), names, f"{root.name}/sparse")
    near, far = _range(depth_bounds(model, images))
    views = [
        _view(root, image.name, model.cameras[image.camera_id], photo)
        for image, photo in zip(images, photos, strict=True)
    ]
    return captured_scene(
        config,
        poses,
        [frame for frame, _ in views],
        [intrinsics for _, intrinsics in views],
        hold_out(len(views), config),
        depth_range=(near, far),
        nearest=near,
    )


def _range(bounds: np.ndarray) -> tuple[float, float]:
    """Near and far for all cameras; a stray camera or two does not decide."""
    near, far = np.percentile(bounds[:, 0], 2), np.percentile(bounds[:, 1], 98)
    return float(near), float(far)


def _photos(root: Path, names: list[str]) -> list[Path]:
    """The file of each image. Raises UserError naming those that are missing."""
    folder = root / "images" if (root / "images").is_dir() else root
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"{folder}: {len(missing)} of the model's {len(names)} photos are missing: "
            f"{', '.join(missing[:3])}{more}; put them back, or convert what is there: "
            f"prepare.py --input {root} --root_dir ..."
        )
    return [folder / name for name in names]


def _view(root: Path, name: str, camera: Any, photo: Path) -> tuple[Frame, Intrinsics]:
    """How to read the photo, and its pinhole camera."""
    pinhole, coefficients, fisheye = _intrinsics(camera)
    # COLMAP knows no EXIF orientation: the photo is what is stored, unless its sides say else.
    size, upright = orient(photo, (camera.width, camera.height))
    pinhole = fit_intrinsics(pinhole, (camera.width, camera.height), size)
    lens = None
    if any(coefficients):
        lens, pinhole = Lens.pinhole_of(pinhole, coefficients, size, fisheye)
    mask = find_mask(root / "masks", photo.name)
    return Frame(name, size, photo, upright=upright, lens=lens, mask_path=mask), pinhole


def _intrinsics(camera: Any) -> tuple[Intrinsics, list[float], bool]:
    """fx, fy, cx, cy; OpenCV's distortion coefficients; whether they are a fisheye lens's."""
    pinhole = (
        camera.focal_length_x,
        camera.focal_length_y,
        camera.principal_point_x,
        camera.principal_point_y,
    )
    model = camera.model_name
    if model not in _EXTRA_PARAMS:
        raise UserError(
            f"{model} cameras are not read directly; undistort them first: "
            "prepare.py --input (the folder with images and sparse) --root_dir (a new folder)"
        )
    order = _EXTRA_PARAMS[model]
    values = camera.params.tolist()[len(camera.params) - len(order) :]
    terms: dict[str, float] = dict(zip(order, values, strict=True))
    fisheye = model.endswith("FISHEYE")
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
