"""COLMAP's binary models, walked record by record within the bounds of the file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from datasets.files.text import read_bytes
from datasets.sparse.records import (
    CAMERA,
    CAMERA_MODELS,
    COUNT,
    IMAGE,
    POINT_2D,
    POINT_3D,
    TRACK,
    Camera,
    Damaged,
    Image,
    Point,
    Records,
)


def read_binary(folder: Path) -> Records:
    """The model of cameras.bin, images.bin and points3D.bin.

    Raises Damaged where a file ends before the entries that it says it has.
    """
    return Records(
        _cameras(_Walk(folder / "cameras.bin")),
        read_binary_images(folder),
        _points(_Walk(folder / "points3D.bin")),
    )


def read_binary_images(folder: Path) -> list[Image]:
    """The images of images.bin alone. Raises Damaged as `read_binary` does."""
    return _images(_Walk(folder / "images.bin"))


class _Walk:
    """A place in the bytes of a file; going beyond their end raises Damaged."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.content = read_bytes(path)
        self.place = 0

    def skip(self, size: int) -> int:
        """Go on by `size` bytes; where they begin."""
        start, self.place = self.place, self.place + size
        if self.place > len(self.content):
            raise Damaged(f"{self.name} has fewer entries than it says")
        return start

    def unpack(self, layout: struct.Struct) -> tuple:
        return layout.unpack_from(self.content, self.skip(layout.size))

    def count(self, smallest: int) -> int:
        """A number of entries that follow, each of `smallest` bytes or more."""
        (count,) = self.unpack(COUNT)
        if count * smallest > len(self.content) - self.place:
            raise Damaged(f"{self.name} has fewer entries than it says")
        return count

    def array(self, dtype: np.dtype, count: int) -> np.ndarray:
        start = self.skip(count * dtype.itemsize)
        return np.frombuffer(self.content, dtype, count, start)

    def text(self) -> str:
        """A name that a zero ends."""
        end = self.content.find(b"\0", self.place)
        if end < 0:
            raise Damaged(f"{self.name} has a name without an end")
        start = self.skip(end + 1 - self.place)
        name = self.content[start:end]
        try:
            return name.decode("utf-8")
        except UnicodeDecodeError:
            return name.decode("latin-1")


def _cameras(walk: _Walk) -> list[Camera]:
    cameras = []
    for _ in range(walk.count(CAMERA.size)):
        number, model, width, height = walk.unpack(CAMERA)
        if model not in range(len(CAMERA_MODELS)):
            raise Damaged(f"{walk.name} has a camera of the unknown model {model}")
        params = walk.array(np.dtype("<f8"), CAMERA_MODELS[model][1])
        cameras.append(Camera(number, model, width, height, params.tolist()))
    return cameras


def _images(walk: _Walk) -> list[Image]:
    images = []
    for _ in range(walk.count(IMAGE.size + 9)):
        number, *pose, camera = walk.unpack(IMAGE)
        name = walk.text()
        points = walk.array(POINT_2D, walk.count(POINT_2D.itemsize))
        images.append(Image(number, pose, camera, name, points))
    return images


def _points(walk: _Walk) -> list[Point]:
    points = []
    for _ in range(walk.count(POINT_3D.size)):
        number, x, y, z, red, green, blue, error, length = walk.unpack(POINT_3D)
        track = walk.array(TRACK, length)
        points.append(Point(number, (x, y, z), (red, green, blue), error, track))
    return points
