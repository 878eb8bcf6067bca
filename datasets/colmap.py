"""COLMAP reconstructions: photos beside a sparse model, of any cameras."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from errors import UserError
from opt import SceneOptions

from .images import Frame, Lens, find_mask, photo_size
from .poses import (
    apply,
    average_pose,
    check_poses,
    is_forward_facing,
)
from .scene import Scene, make_cameras, scene_name
from .sparse import camera_to_world, depth_bounds, read_model, registered, sightings_beside
from .views import (
    Intrinsics,
    around_subject,
    bounds_of,
    fit_intrinsics,
    forward_facing_bounds,
    hold_out,
)

if TYPE_CHECKING:
    import pycolmap


def load_colmap(options: SceneOptions) -> Scene:
    """Load root_dir/sparse/0 (or the model with the most photos) and root_dir/images.

    Near and far come from the points that the cameras see. A forward-facing capture is put into
    NDC, its nearest point a little beyond the near plane; another is centred on where the
    cameras look, with their mean distance from there as the unit.
    """
    root = Path(options.root_dir)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; is --root_dir right?")
    model = read_model(root)
    images = registered(model)
    photos = _photos(root, [image.name for image in images])
    names = [image.name for image in images]
    poses = check_poses(camera_to_world(images), names, f"{root.name}/sparse")
    near, far = _range(depth_bounds(model, images))

    forward = not options.spheric_poses
    if options.spheric_poses is None:
        forward = is_forward_facing(poses)
        print(f"{root.name}: {'forward-facing' if forward else 'taken around a subject'}")
    up = (0.0, 1.0, 0.0)
    if forward:
        units = 0.75 * (options.near or near)
        to_input = average_pose(poses) @ np.diag([units, units, units, 1.0])
    else:
        to_input, up = around_subject(poses)
        units = float(to_input[0, 0])

    views = [
        _view(root, image.name, model.cameras[image.camera_id], photo)
        for image, photo in zip(images, photos, strict=True)
    ]
    frames = tuple(frame for frame, _ in views)
    cameras = make_cameras(
        apply(np.linalg.inv(to_input), poses),
        [intrinsics for _, intrinsics in views],
        [frame.size for frame in frames],
    )
    return Scene(
        name=scene_name(root),
        cameras=cameras,
        frames=frames,
        splits=hold_out(len(frames), options.holdout),
        bounds=forward_facing_bounds(cameras, options, units)
        if forward
        else bounds_of((near / units, min(8 * near, far) / units), options, units),
        to_input=to_input,
        up=up,
        sightings=partial(sightings_beside, root, poses, to_input),
    ).resized(options.img_wh)


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


def _view(root: Path, name: str, camera: pycolmap.Camera, photo: Path) -> tuple[Frame, Intrinsics]:
    """How to read the photo, and its pinhole camera."""
    pinhole, coefficients, fisheye = _intrinsics(camera)
    # COLMAP knows no EXIF orientation: the photo is what is stored, unless its sides say else.
    stored, turned = photo_size(photo)
    same_way = (camera.width > camera.height) == (stored[0] > stored[1])
    upright = not same_way and turned != stored
    size = turned if upright else stored
    pinhole = fit_intrinsics(pinhole, (camera.width, camera.height), size)
    lens = None
    if any(coefficients):
        lens, pinhole = Lens.pinhole_of(pinhole, coefficients, size, fisheye)
    mask = find_mask(root / "masks", photo.name)
    return Frame(name, size, photo, upright=upright, lens=lens, mask_path=mask), pinhole


def _intrinsics(camera: pycolmap.Camera) -> tuple[Intrinsics, list[float], bool]:
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
