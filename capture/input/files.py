"""The photos of an input folder: which files they are, and what they are called in the scene."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from errors import UserError

PHOTOS = (".jpg", ".jpeg", ".png", ".heic", ".heif", ".tif", ".tiff", ".webp", ".bmp")
VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".gif")


@dataclass(frozen=True)
class Source:
    """One photo of the input: its file, its mask's file, and its name in the scene."""

    path: Path
    name: str
    mask: Path | None = None


def find_sources(folder: Path) -> list[Source]:
    """The photos of a folder in the order of their names, with their masks.

    Hidden files and sidecars (.xmp, .aae, .json, ...) are ignored. Masks lie in masks/ inside or
    beside the folder, named like their photo, with any ending (or photo.jpg.png, as COLMAP has
    it). Raises UserError where there is no photo.
    """
    files = _visible(folder)
    photos = [path for path in files if path.suffix.lower() in PHOTOS]
    if not photos and (folder / "images").is_dir():
        return find_sources(folder / "images")
    if not photos:
        raise UserError(f"{folder}: has no photos; {_found(files)}")
    masks = _masks(folder)
    taken: set[str] = set()
    sources = []
    for path in photos:
        mask = masks.get(path.name.lower()) or masks.get(path.stem.lower())
        sources.append(Source(path, scene_file_name(path, taken), mask))
    return sources


def scene_file_name(path: Path, taken: set[str]) -> str:
    """A name for the photo in the scene, unlike those in `taken`, to which it is added.

    COLMAP's lists of pairs are split at blanks, so names have none.
    """
    stem = re.sub(r"[^\w.+-]+", "_", path.stem).lstrip(".") or "photo"
    for name in (
        stem,
        f"{stem}_{path.suffix[1:].lower()}",
        *(f"{stem}_{i}" for i in range(2, 999)),
    ):
        # Case is not told apart by every file system.
        if name.lower() not in taken:
            taken.add(name.lower())
            return f"{name}.jpg"
    raise UserError(f"{path}: too many photos have this name; rename some")


def _masks(folder: Path) -> dict[str, Path]:
    """Mask files by the lower-case name and stem of their photo."""
    for place in (folder / "masks", folder.parent / "masks"):
        if place.is_dir():
            files = [path for path in _visible(place) if path.suffix.lower() in PHOTOS]
            return {path.stem.lower(): path for path in files}
    return {}


def _visible(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
    )


def _found(files: list[Path]) -> str:
    videos = [path for path in files if path.suffix.lower() in VIDEOS]
    if videos:
        return f"for the video in it say --input {videos[0]}"
    endings = sorted({path.suffix.lower() or "no ending" for path in files})
    known = "JPEG, PNG, HEIC, TIFF and WebP are read"
    return f"only {', '.join(endings)}; {known}" if endings else f"it is empty; {known}"
