"""A solved model and its photos to the scene's folder, all of it at once or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from jaxtyping import Float, UInt8
from PIL import Image

from capture.input.photos import save
from capture.output.layout import write_poses_bounds, write_transforms
from capture.output.orient import Placement, place
from capture.output.undistort import Pinhole, Undistorter, flatten_model
from datasets.sparse.model import camera_to_world, depth_bounds, points, registered
from geometry.poses import Poses
from writing.files import check_room
from writing.progress import progress_bar

# Everything in the scene's folder that an earlier run may have left.
RESULTS = (
    "images",
    "masks",
    "sparse",
    "database.db",
    "poses_bounds.npy",
    "transforms.json",
    "scene.npz",
)

# The colours of a photo, and its mask or None: ("alpha" | "mask", grey image).
Reader = Callable[[str], tuple[UInt8[np.ndarray, "height width 3"], tuple[str, np.ndarray] | None]]


@dataclass(frozen=True)
class Exported:
    """The scene as it was written; names are those of images/, in their order."""

    names: list[str]
    poses: Poses
    pinholes: list[Pinhole]
    bounds: Float[np.ndarray, "camera 2"]
    placement: Placement


def export(
    model: pycolmap.Reconstruction,
    read: Reader,
    root: Path,
    work: Path,
    database: Path | None = None,
    placement: Placement | None = None,
    bounds: Float[np.ndarray, "camera 2"] | None = None,
) -> Exported:
    """Undistort the photos, put the model upright, and write the layout into `root`.

    Args:
        model: its images are named as `read` wants them; changed in place.
        read: gives a photo and its mask by the name.
        root: the scene's folder.
        work: a folder on the same disk, for what is not finished.
        database: COLMAP's database to copy.
        placement: where the scene lies, if that is known; else it is found.
        bounds: near and far of the cameras in scene units; else they come from the points.
    """
    new = work / "result"
    shutil.rmtree(new, ignore_errors=True)
    (new / "images").mkdir(parents=True)
    images = registered(model)
    check_room(new, _room(model, database), "the scene")
    undistorters = {
        camera_id: Undistorter(model.cameras[camera_id])
        for camera_id in {image.camera_id for image in images}
    }
    renamed, masks = {}, {}
    by_camera = sorted(images, key=lambda image: (image.camera_id, image.name))
    previous = None
    for image in progress_bar(by_camera, desc="images"):
        undistorter = undistorters[image.camera_id]
        if previous is not None and previous is not undistorter:
            vars(previous).pop("map", None)
        previous = undistorter
        colors, mask = read(image.name)
        name = _write_photo(new, image.name, colors, mask, undistorter)
        renamed[image.name] = name
        masks[name] = f"masks/{name}.png" if mask is not None and mask[0] == "mask" else None
    for image in list(model.images.values()):
        if not image.has_pose:
            renamed.setdefault(image.name, image.name)
    _drop_unused_cameras(model, set(undistorters))
    flatten_model(model, undistorters, renamed)

    images = registered(model)
    if placement is None:
        placement = place(camera_to_world(images), points(model))
    model.transform(pycolmap.Sim3d(placement.to_scene[:3]))
    poses = camera_to_world(images)
    if bounds is None:
        bounds = depth_bounds(model, images)
    names = [image.name for image in images]
    pinholes = [undistorters[image.camera_id].pinhole for image in images]
    (new / "sparse" / "0").mkdir(parents=True)
    model.write(new / "sparse" / "0")
    write_poses_bounds(new / "poses_bounds.npy", poses, pinholes, bounds)
    write_transforms(
        new / "transforms.json",
        names,
        poses,
        pinholes,
        [masks[name] for name in names],
        _placement_values(placement),
    )
    if database is not None:
        _copy_database(database, new / "database.db", renamed)
    _replace(new, root)
    return Exported(names, poses, pinholes, bounds, placement)


def _room(model: pycolmap.Reconstruction, database: Path | None) -> int:
    """Bytes that a scene may take: a JPEG as we write it has less than one a pixel."""
    pixels = points = 0
    for image in registered(model):
        camera = model.cameras[image.camera_id]
        pixels += camera.width * camera.height
        points += image.num_points2D()
    return pixels + 64 * points + (0 if database is None else database.stat().st_size)


def _write_photo(
    folder: Path,
    name: str,
    colors: np.ndarray,
    mask: tuple[str, np.ndarray] | None,
    undistorter: Undistorter,
) -> str:
    """Write the undistorted photo and mask; the photo's name, a .png where it is transparent."""
    name = name.replace("/", "_").replace("\\", "_")
    flat = undistorter.image(colors)
    if mask is None:
        save(Image.fromarray(flat), folder / "images" / name)
        return name
    kind, grey = mask
    grey = undistorter.image(grey)
    if kind == "alpha":
        name = f"{Path(name).stem}.png"
        save(Image.fromarray(np.dstack([flat, grey])), folder / "images" / name)
        return name
    save(Image.fromarray(flat), folder / "images" / name)
    save(Image.fromarray(grey), folder / "masks" / f"{name}.png")
    return name


def _placement_values(placement: Placement) -> dict[str, object]:
    """The kind of scene, and nerfstudio's form of the similarity: scale after rigid motion."""
    scale = float(np.cbrt(np.linalg.det(placement.to_scene[:3, :3])))
    return {
        "capture": placement.kind,
        "applied_transform": (placement.to_scene[:3] / scale).tolist(),
        "applied_scale": scale,
    }


def _drop_unused_cameras(model: pycolmap.Reconstruction, used: set[int]) -> None:
    """Take out cameras that no placed photo has: they were never solved."""
    unused = [camera_id for camera_id in model.cameras if camera_id not in used]
    for camera_id in unused:
        model.cameras[camera_id].model = pycolmap.CameraModelId.PINHOLE
        width, height = model.cameras[camera_id].width, model.cameras[camera_id].height
        model.cameras[camera_id].params = [width, width, width / 2, height / 2]


def _copy_database(source: Path, target: Path, renamed: dict[str, str]) -> None:
    """COLMAP's database under the scene's names; nothing, with a word, where it is damaged."""
    shutil.copyfile(source, target)
    try:
        _rename_images(target, renamed)
    except RuntimeError as error:
        print(f"{source}: left out, not a whole database of COLMAP ({error})")
        target.unlink()


def _rename_images(target: Path, renamed: dict[str, str]) -> None:
    with pycolmap.Database.open(target) as database:
        for image in database.read_all_images():
            if renamed.get(image.name, image.name) != image.name:
                image.name = renamed[image.name]
                database.update_image(image)


def _replace(new: Path, root: Path) -> None:
    """Put the finished results in the place of older ones."""
    for name in RESULTS:
        old = root / name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    for name in RESULTS:
        if (new / name).exists():
            os.replace(new / name, root / name)
    shutil.rmtree(new)


def scene_to_solver(placement: Placement) -> list[list[float]]:
    """The similarity back to the solver's coordinates, as plain numbers."""
    return np.linalg.inv(placement.to_scene).tolist()
