"""COLMAP's text models, as COLMAP and other tools write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from datasets.files.text import read_text
from datasets.sparse.records import (
    CAMERA_MODELS,
    NO_POINT,
    POINT_2D,
    TRACK,
    Camera,
    Damaged,
    Image,
    Point,
    Records,
)

Entry = TypeVar("Entry", Camera, Image, Point)

_MODELS = {name: (number, count) for number, (name, count) in enumerate(CAMERA_MODELS)}


def read_text_model(folder: Path) -> Records:
    """The model of cameras.txt, images.txt and points3D.txt.

    Names may hold spaces, "no point" is -1 or 2^64 - 1, and the line of an image's points may be
    missing. Raises Damaged, with the line's number, for a line that is not of its file.
    """
    return Records(
        _read(folder / "cameras.txt", _cameras),
        read_text_images(folder),
        _read(folder / "points3D.txt", _points),
    )


def read_text_images(folder: Path) -> list[Image]:
    """The images of images.txt alone. Raises Damaged as `read_text_model` does."""
    return _read(folder / "images.txt", _images)


class _Lines:
    """The lines of a file, and the number of the last one that was taken."""

    def __init__(self, path: Path) -> None:
        self.lines = read_text(path).splitlines()
        self.number = 0

    def next_entry(self) -> Iterator[str]:
        """Lines that are neither empty nor comments; others may be taken in between."""
        while self.number < len(self.lines):
            line = self.lines[self.number].strip()
            self.number += 1
            if line and not line.startswith("#"):
                yield line


def _read(path: Path, parse: Callable[[_Lines], list[Entry]]) -> list[Entry]:
    lines = _Lines(path)
    try:
        return parse(lines)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise Damaged(f"line {lines.number} of {path.name}: {error}") from error


def _cameras(lines: _Lines) -> list[Camera]:
    cameras = []
    for line in lines.next_entry():
        words = line.split()
        if words[1] not in _MODELS:
            raise Damaged(f"the camera model {words[1]} is unknown")
        number, count = _MODELS[words[1]]
        params = [float(word) for word in words[4:]]
        if len(params) != count:
            raise Damaged(f"{words[1]} has {count} parameters, not {len(params)}")
        cameras.append(Camera(_id(words[0]), number, int(words[2]), int(words[3]), params))
    return cameras


def _images(lines: _Lines) -> list[Image]:
    images = []
    for line in lines.next_entry():
        words = line.split(maxsplit=9)
        if len(words) < 10:
            raise Damaged("an image needs an id, a pose of 7 numbers, a camera and a name")
        pose = [float(word) for word in words[1:8]]
        image = Image(_id(words[0]), pose, _id(words[8]), words[9], np.zeros(0, POINT_2D))
        images.append(image)
        if lines.number < len(lines.lines):
            points = lines.lines[lines.number].split()
            if _is_image(points):
                continue
            lines.number += 1
            image.points = _points_2d(points)
    return images


def _is_image(words: list[str]) -> bool:
    """Whether a line after an image is the next image: some tools leave out that of no points."""
    return len(words) >= 10 and all(map(_is_number, words[:9])) and not _is_number(words[9])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _points_2d(words: list[str]) -> np.ndarray:
    if len(words) % 3:
        raise Damaged(f"{len(words)} numbers are no triples of x, y and a point's id")
    points = np.zeros(len(words) // 3, POINT_2D)
    points["x"], points["y"] = _floats(words[0::3]), _floats(words[1::3])
    points["point"] = np.array([_point_id(word) for word in words[2::3]], dtype=np.uint64)
    return points


def _points(lines: _Lines) -> list[Point]:
    points = []
    for line in lines.next_entry():
        words = line.split()
        if len(words) < 8 or len(words) % 2:
            raise Damaged("a point needs an id, a place, a colour, an error and pairs of its track")
        x, y, z = (float(word) for word in words[1:4])
        red, green, blue = (min(255, max(0, int(float(word)))) for word in words[4:7])
        track = np.zeros(len(words) // 2 - 4, TRACK)
        track["image"] = [_id(word) for word in words[8::2]]
        track["index"] = [_id(word) for word in words[9::2]]
        number = _point_id(words[0])
        points.append(Point(number, (x, y, z), (red, green, blue), float(words[7]), track))
    return points


def _floats(words: list[str]) -> np.ndarray:
    return np.array([float(word) for word in words], dtype=np.float64)


def _id(word: str) -> int:
    """The id of a camera or an image, or the index of an image's point."""
    number = int(word)
    if not 0 <= number < 2**32:
        raise Damaged(f"{number} is no id")
    return number


def _point_id(word: str) -> int:
    number = int(word)
    return number if 0 <= number < NO_POINT else NO_POINT
