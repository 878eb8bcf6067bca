"""COLMAP's sparse models: which to take, and the poses and points in them.

The poses and points are pycolmap's; the files are parsed and checked before it sees them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from datasets.files.text import is_file, is_folder
from datasets.sparse.binary import read_binary
from datasets.sparse.observations import SparseObservations
from datasets.sparse.records import Damaged
from datasets.sparse.text import read_text_model
from errors import UserError

if TYPE_CHECKING:
    import pycolmap

# COLMAP's camera axes are OpenCV's: +y down, looking down +z.
OPENCV_TO_OPENGL = np.diag([1.0, -1.0, -1.0])
# Of points that are relied on: in how many images, and their mean error there in pixels.
_TRACK, _ERROR = 3, 2.0
# The files of a model. Of both kinds, the binary ones are read.
_FILES = ("cameras", "images", "points3D")
_KINDS = {"bin": read_binary, "txt": read_text_model}
# Poses that differ by more, in their rotations' entries and in shares of the cameras' spread, are
# of other reconstructions.
_SAME = 5e-3


def model_folders(root: Path) -> list[Path]:
    """The folders with a sparse model, where tools put them: root, sparse/0, colmap_sparse, ..."""
    names = ("sparse", "colmap/sparse", "colmap_sparse", "colmap", "dense", "dense/sparse")
    places = [place for place in (root, *(root / name for name in names)) if is_folder(place)]
    numbered = [folder for place in places for folder in _numbered(place)]
    undistorted = [folder / "sparse" for folder in _numbered(root / "dense")]
    return [place for place in [*places, *numbered, *undistorted] if _has_model(place)]


def _numbered(place: Path) -> list[Path]:
    """The folders 0, 1, ... of a place, in the order of their numbers."""
    if not is_folder(place):
        return []
    return sorted(
        (path for path in place.iterdir() if path.name.isdecimal() and is_folder(path)),
        key=lambda path: (int(path.name), path.name),
    )


def read_model(root: Path, tell: bool = True) -> pycolmap.Reconstruction:
    """The model with the most registered images under `root` (number 0 may be a fragment).

    Args:
        tell: say which it is, where there are several.

    Raises UserError where there is none or it is damaged.
    """
    return find_model(root, tell)[0]


def find_model(root: Path, tell: bool = True) -> tuple[pycolmap.Reconstruction, Path]:
    """As `read_model`; and the folder of the model."""
    folders = model_folders(root)
    if not folders:
        raise UserError(
            f"{root}: has no COLMAP model (sparse/0/cameras.bin, images.bin, points3D.bin)"
        )
    models: list[tuple[pycolmap.Reconstruction, Path]] = []
    errors: list[UserError] = []
    for folder in folders:
        try:
            models.append((read_one(folder), folder))
        except UserError as error:
            errors.append(error)
    if not models:
        raise errors[0]
    for damaged in errors:
        print(f"not used: {damaged}")
    best, folder = max(models, key=lambda found: found[0].num_reg_images())
    if tell and len(models) > 1:
        counts = ", ".join(str(model.num_reg_images()) for model, _ in models)
        print(f"{root.name}: models of {counts} photos; taking {folder.name}")
    if best.num_reg_images() == 0:
        raise UserError(f"{folder}: no image of the model has a pose")
    return best, folder


def read_one(folder: Path) -> pycolmap.Reconstruction:
    """The model in a folder, each camera for itself. Raises UserError where it is damaged."""
    try:
        import pycolmap
    except ImportError as error:
        raise UserError("COLMAP models need pycolmap: pip install pycolmap") from error
    kind = _kind(folder)
    level, pycolmap.logging.minloglevel = pycolmap.logging.minloglevel, 3
    try:
        records = _KINDS[kind](folder).checked(folder)
        with tempfile.TemporaryDirectory(prefix="sparse") as place:
            records.write(Path(place))
            return pycolmap.Reconstruction(place)
    except Damaged as error:
        raise UserError(f"{folder}: not a readable COLMAP model ({error})") from error
    except (RuntimeError, ValueError) as error:  # a check of pycolmap's own fails
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{folder}: not a readable COLMAP model ({reason})") from error
    finally:
        pycolmap.logging.minloglevel = level


def registered(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    """The images that have a pose, in the order of their names."""
    images = [image for image in model.images.values() if image.has_pose]
    return sorted(images, key=lambda image: image.name)


def camera_to_world(images: list[pycolmap.Image]) -> Float[np.ndarray, "camera 3 4"]:
    """Poses with OpenGL's axes."""
    world_to_camera = np.stack([image.cam_from_world().matrix() for image in images])
    rotation = world_to_camera[:, :, :3].transpose(0, 2, 1)
    centre = -rotation @ world_to_camera[:, :, 3:]
    return np.concatenate([rotation @ OPENCV_TO_OPENGL, centre], axis=2)


def points(model: pycolmap.Reconstruction) -> Float[np.ndarray, "point 3"]:
    """All points of the model."""
    return np.array([point.xyz for point in model.points3D.values()]).reshape(-1, 3)


def visible_points(
    model: pycolmap.Reconstruction, image: pycolmap.Image
) -> Float[np.ndarray, "point 3"]:
    """The points that an image sees, in the world."""
    ids = [point.point3D_id for point in image.get_observation_points2D()]
    return np.array([model.points3D[i].xyz for i in ids]).reshape(-1, 3)


def observations(
    model: pycolmap.Reconstruction, images: list[pycolmap.Image], to_input: np.ndarray
) -> SparseObservations | None:
    """Which of the images saw which points, in the scene that `to_input` maps to the model.

    Only points that are well known: seen by three images, within two pixels on average.
    """
    good = {
        number: point.xyz
        for number, point in model.points3D.items()
        if point.track.length() >= _TRACK and point.error < _ERROR
    }
    if not good:
        return None
    numbers = np.array(sorted(good), dtype=np.uint64)
    places = np.array([good[number] for number in numbers.tolist()])
    inverse = np.linalg.inv(to_input)
    places = places @ inverse[:3, :3].T + inverse[:3, 3]
    cameras, rows = [], []
    for camera, image in enumerate(images):
        ids = (point.point3D_id for point in image.get_observation_points2D())
        seen = np.fromiter(ids, dtype=np.uint64)
        row = np.searchsorted(numbers, seen).clip(max=len(numbers) - 1)
        rows.append(row[numbers[row] == seen])
        cameras.append(np.full(len(rows[-1]), camera))
    points = torch.from_numpy(places[np.concatenate(rows)]).float()
    if len(points) == 0:
        return None
    return SparseObservations(torch.from_numpy(np.concatenate(cameras)), points)


def observations_beside(
    root: Path, c2w: Float[np.ndarray, "camera 3 4"], to_input: Float[np.ndarray, "4 4"]
) -> SparseObservations | None:
    """The observations of a model under `root`, if other poses were written from it.

    Args:
        c2w: poses, in the coordinates of their file.
        to_input: from the scene's coordinates to those.
    """
    if not model_folders(root):
        return None
    try:
        model = read_model(root, tell=False)
    except UserError as error:  # the scene does without
        print(f"the points of a sparse model are not used: {error}")
        return None
    images = registered(model)
    # By poses, as photos may have been renamed; places in shares of the cameras' spread.
    places = c2w[:, :, 3]
    unit = np.array([1.0, 1.0, 1.0, 1 / max(1e-12, np.ptp(places, axis=0).max())])
    theirs = camera_to_world(images)
    away = np.stack([np.linalg.norm((theirs - own) * unit, axis=(1, 2)) for own in c2w])
    if away.min(axis=1).max() > _SAME:
        return None
    return observations(model, [images[i] for i in away.argmin(axis=1)], to_input)


def depth_bounds(
    model: pycolmap.Reconstruction, images: list[pycolmap.Image]
) -> Float[np.ndarray, "camera 2"]:
    """Near and far of each camera: the 0.1 and 99.9 percentiles of its points' depths.

    Depth is along the optical axis, as in LLFF's poses_bounds.npy. A camera without points gets
    the bounds of all. Raises UserError, which does not know the file, where no camera has any.
    """
    rows = []
    for image in images:
        third_row = image.cam_from_world().matrix()[2]
        depth = visible_points(model, image) @ third_row[:3] + third_row[3]
        depth = depth[depth > 0]
        rows.append(np.percentile(depth, [0.1, 99.9]) if len(depth) > 1 else [np.nan, np.nan])
    bounds = np.array(rows, dtype=np.float64)
    known = np.isfinite(bounds).all(axis=1)
    if not known.any():
        raise UserError(
            "the COLMAP model has no 3D points that its photos see, so that near and far are not "
            "known; give both to train.py, in the model's units: --near and --far"
        )
    bounds[~known] = [bounds[known, 0].min(), bounds[known, 1].max()]
    return bounds


def _kind(folder: Path) -> str:
    """The ending of the model's files. Raises UserError naming those that are missing."""
    there = {
        kind: [name for name in _FILES if is_file(folder / f"{name}.{kind}")] for kind in _KINDS
    }
    kind = max(there, key=lambda kind: len(there[kind]))
    missing = [f"{name}.{kind}" for name in _FILES if name not in there[kind]]
    if missing:
        raise UserError(f"{folder}: without {' and '.join(missing)}; copy the whole COLMAP model")
    return kind


def _has_model(folder: Path) -> bool:
    """Whether a file is there that only a model has."""
    names = [f"{name}.{kind}" for kind in _KINDS for name in ("cameras", "points3D")]
    return any(is_file(folder / name) for name in [*names, "images.bin"])
