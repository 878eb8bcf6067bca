"""LLFF captures: poses_bounds.npy and images/ (or images_N/), forward-facing or all around."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from datasets.config import SceneConfig
from datasets.files.arrays import read_array
from datasets.files.finder import list_photos, some
from datasets.files.numbers import LARGEST, checked
from datasets.formats.common import captured_scene, fit_intrinsics, hold_out, orient, tell_sizes
from datasets.photos import Frame, find_mask, photo_size
from datasets.scene import Scene
from datasets.sparse.model import model_folders, read_model, registered
from datasets.sparse.names import model_names
from errors import UserError
from geometry.poses import check_poses


def load_llff(config: SceneConfig) -> Scene:
    """Load a capture, centred on its average camera and scaled.

    As in the original implementation, the near bound comes to lie at 4/3: a little beyond the
    near plane of NDC, z = -1.
    """
    root = Path(config.root_dir)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; is --root_dir right?")
    path = root / "poses_bounds.npy"
    table = _read_table(path)
    photos = list_photos(_photo_folder(root, config.img_wh))
    if not photos:
        raise UserError(f"{root}: no images in images/")
    if len(photos) != len(table):
        photos = _photos_with_poses(root, photos, len(table))
    else:
        _tell_renamed(root, photos)
    hwf = table[:, :15].reshape(-1, 3, 5)[:, :, 4]
    bounds = table[:, 15:]

    # The file's rotations have the columns down, right, backwards.
    columns = table[:, :15].reshape(-1, 3, 5)[:, :, :4]
    poses = np.concatenate([columns[:, :, 1:2], -columns[:, :, 0:1], columns[:, :, 2:4]], axis=2)
    poses = check_poses(poses, [photo.name for photo in photos], path.name)
    _check_bounds(bounds, photos, path)

    frames, intrinsics, declared = [], [], []
    for photo, (height, width, focal) in zip(photos, hwf, strict=True):
        size, upright = orient(photo, (width, height))
        mask = find_mask(root / "masks", photo.name)
        frames.append(Frame(photo.name, size, photo, upright=upright, mask_path=mask))
        pinhole = (focal, focal, width / 2, height / 2)
        where = f"{path}: {photo.name}"
        intrinsics.append(fit_intrinsics(pinhole, (width, height), size, where))
        declared.append((float(width), float(height)))
    tell_sizes(root.name, declared, [frame.size for frame in frames])
    nearest = float(bounds.min())
    return captured_scene(
        config,
        poses,
        frames,
        intrinsics,
        hold_out(len(frames), config),
        depth_range=(nearest, float(bounds.max())),
        nearest=nearest,
        average_frame=True,
    )


def _read_table(path: Path) -> Float[np.ndarray, "image 17"]:
    table = read_array(path)
    if table.ndim != 2 or table.shape[1] != 17 or len(table) == 0:
        raise UserError(f"{path}: has shape {table.shape}, not (images, 17)")
    table = table.astype(np.float64)
    checked(table[:, [4, 9, 14]], f"{path}: height, width and focal length")
    return table


def _photo_folder(root: Path, img_wh: tuple[int, int] | None) -> Path:
    """images/, or the images_N/ nearest above img_wh (the largest, without img_wh)."""
    reduced = sorted(
        (int(match[1]), folder)
        for folder in root.glob("images_*")
        if folder.is_dir() and (match := re.fullmatch(r"images_(\d+)", folder.name))
    )
    folders = [folder for _, folder in reduced if list_photos(folder)]
    if (root / "images").is_dir():
        folders.insert(0, root / "images")
    if not folders:
        raise UserError(f"{root}: has neither images/ nor images_N/")
    if img_wh is not None:
        for folder in reversed(folders):
            photos = list_photos(folder)
            if photos and max(photo_size(photos[0])[0]) >= max(img_wh):
                return folder
    return folders[0]


def _check_bounds(bounds: np.ndarray, photos: list[Path], path: Path) -> None:
    for (near, far), photo in zip(bounds, photos, strict=True):
        if not 0 < near < far <= LARGEST:
            raise UserError(
                f"{path}: near {near:.4g} and far {far:.4g} of {photo.name} are not in order "
                "(0 < near < far)"
            )


def _photos_with_poses(root: Path, photos: list[Path], poses: int) -> list[Path]:
    """The photos that have a pose, as far as the sparse model tells that the poses were made from.

    LLFF's tools write a row for each image that the model places, in the order of their names.

    Raises UserError where nothing tells.
    """
    try:
        names = [image.name for image in registered(read_model(root, tell=False))]
    except UserError as error:
        told = f"; {error}" if model_folders(root) else ""
        raise UserError(_mismatch(root, photos, poses) + told) from error
    by_name = {photo.stem.casefold(): photo for photo in photos}
    stems = [Path(name).stem.casefold() for name in names]
    found = [by_name[stem] for stem in stems if stem in by_name]
    if len(names) != poses or len(set(found)) != poses:
        raise UserError(
            f"{_mismatch(root, photos, poses)}; the model beside them places {len(names)} "
            f"({some(names)})"
        )
    without = [photo.name for photo in photos if photo not in set(found)]
    print(
        f"{root.name}: {poses} poses, paired by the names of the sparse model; without a pose: "
        f"{some(without, 10)}"
    )
    return found


def _tell_renamed(root: Path, photos: list[Path]) -> None:
    """Say so where the photos bear other names than in the model that lies beside them.

    Photos of images_N/ do, by LLFF's own tools.
    """
    names = model_names(root) if photos[0].parent.name == "images" else []
    solved = {Path(name).stem.casefold() for name in names}
    renamed = [photo.name for photo in photos if photo.stem.casefold() not in solved]
    if len(names) == len(photos) and renamed:
        print(
            f"{root.name}: {len(renamed)} of {len(photos)} photos have other names than in the "
            f"sparse model ({some(renamed)}; there: {some(names)}): if they were renamed after the "
            "solve, their order must be the same, for poses are paired by it"
        )


def _mismatch(root: Path, photos: list[Path], poses: int) -> str:
    """Say which photos are missing, as far as their names tell."""
    text = f"{root}: {len(photos)} images but {poses} poses in poses_bounds.npy"
    if len(photos) > poses:
        return f"{text}; take out the {len(photos) - poses} images that have no pose"
    numbered = {}
    for photo in photos:
        if match := re.search(r"(\d+)(?!.*\d)", photo.stem):
            numbered[int(match[1])] = photo
    gaps: list[str] = []
    if len(numbered) == len(photos):
        first, last = min(numbered), max(numbered)
        sample = photos[0]
        digits = re.search(r"(\d+)(?!.*\d)", sample.stem)
        assert digits is not None
        for number in range(min(first, 0) if first < poses else first, last + 1):
            if number not in numbered:
                label = str(number).zfill(len(digits[1]))
                gaps.append(sample.stem[: digits.start(1)] + label + sample.suffix)
    missing = poses - len(photos)
    named = f": {', '.join(gaps)}"
    if len(gaps) != missing:  # the first or the last ones, or names without numbers
        named = f" (there are {photos[0].name} to {photos[-1].name})"
    return f"{text}; {missing} missing{named}; put them back, or solve the poses again"
