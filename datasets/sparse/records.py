"""What a COLMAP model holds, as plain values: checked, mended where that is safe, written anew.

Files of other people are parsed here and not by pycolmap, whose readers trust them: a damaged
count fills the memory or never ends. What it then reads is what `Records.write` wrote.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from datasets.files.numbers import LARGEST
from errors import UserError

# COLMAP's camera models by their number: name, and how many parameters.
CAMERA_MODELS = (
    *(("SIMPLE_PINHOLE", 3), ("PINHOLE", 4), ("SIMPLE_RADIAL", 4), ("RADIAL", 5), ("OPENCV", 8)),
    *(("OPENCV_FISHEYE", 8), ("FULL_OPENCV", 12), ("FOV", 5), ("SIMPLE_RADIAL_FISHEYE", 4)),
    *(("RADIAL_FISHEYE", 5), ("THIN_PRISM_FISHEYE", 12), ("RAD_TAN_THIN_PRISM_FISHEYE", 16)),
    *(("SIMPLE_DIVISION", 4), ("DIVISION", 5), ("SIMPLE_FISHEYE", 3), ("FISHEYE", 4)),
    *(("EUCM", 6), ("EQUIRECTANGULAR", 2)),
)
# The id of "no point".
NO_POINT = 2**64 - 1
POINT_2D = np.dtype([("x", "<f8"), ("y", "<f8"), ("point", "<u8")])
POINT_3D = struct.Struct("<Q3d3BdQ")
TRACK = np.dtype([("image", "<u4"), ("index", "<u4")])
IMAGE = struct.Struct("<I7dI")
CAMERA = struct.Struct("<IiQQ")
COUNT = struct.Struct("<Q")


class Damaged(ValueError):
    """What is wrong with a model's file, without its name."""


@dataclass
class Camera:
    id: int
    model: int
    width: int
    height: int
    params: list[float]


@dataclass
class Image:
    """An image with a pose, from the world to the camera; the rotation is a quaternion wxyz."""

    id: int
    pose: list[float]
    camera: int
    name: str
    points: np.ndarray  # of POINT_2D


@dataclass
class Point:
    id: int
    position: tuple[float, float, float]
    color: tuple[int, int, int]
    error: float
    track: np.ndarray  # of TRACK


@dataclass
class Records:
    """The three files of a model, each in its own order."""

    cameras: list[Camera] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)

    def checked(self, folder: Path) -> Records:
        """The model without what refers to nothing. Raises UserError, naming the file, else.

        Points that an image or a track names and that are not there (people thin them out), and
        points whose place is not finite, are left out.
        """
        for name, entries in (("cameras", self.cameras), ("images", self.images)):
            ids = [entry.id for entry in entries]
            if len(set(ids)) < len(ids):
                raise UserError(f"{folder}/{name}: two entries have the same id; solve it again")
        for camera in self.cameras:
            _check_camera(camera, folder)
        cameras = {camera.id for camera in self.cameras}
        for image in self.images:
            _check_image(image, cameras, folder)
        self.points = list({p.id: p for p in self.points if _is_place(p)}.values())
        known = np.array([point.id for point in self.points], dtype=np.uint64)
        for image in self.images:
            there = np.isin(image.points["point"], known)
            if not there.all():
                image.points = image.points.copy()
                image.points["point"][~there] = NO_POINT
        self._check_tracks()
        return self

    def _check_tracks(self) -> None:
        """Leave out of the tracks what the images do not say too."""
        if not self.points:
            return
        images = sorted(self.images, key=lambda image: image.id)
        ids = np.array([image.id for image in images], dtype=np.uint32)
        count = np.array([len(image.points) for image in images], dtype=np.int64)
        every = np.concatenate([point.track for point in self.points])
        lengths = [len(point.track) for point in self.points]
        number = np.repeat(np.array([p.id for p in self.points], dtype=np.uint64), lengths)
        if images and count.any():
            row = np.searchsorted(ids, every["image"]).clip(max=len(ids) - 1)
            kept = (ids[row] == every["image"]) & (every["index"] < count[row])
            seen = np.concatenate([image.points["point"] for image in images])
            place = (np.cumsum(count) - count)[row] + every["index"]
            kept &= seen[np.where(kept, place, 0)] == number
        else:
            kept = np.zeros(len(every), dtype=bool)
        if kept.all():
            return
        ends = np.cumsum(lengths)
        for point, end in zip(self.points, ends.tolist(), strict=True):
            start = end - len(point.track)
            point.track = every[start:end][kept[start:end]]

    def write(self, folder: Path) -> None:
        """Write the model in COLMAP's binary format, every image with a camera of its own place."""
        with (folder / "cameras.bin").open("wb") as file:
            file.write(COUNT.pack(len(self.cameras)))
            for camera in self.cameras:
                file.write(CAMERA.pack(camera.id, camera.model, camera.width, camera.height))
                file.write(np.array(camera.params, dtype="<f8").tobytes())
        with (folder / "images.bin").open("wb") as file:
            file.write(COUNT.pack(len(self.images)))
            for image in self.images:
                _write_image(file, image)
        with (folder / "points3D.bin").open("wb") as file:
            file.write(COUNT.pack(len(self.points)))
            for point in self.points:
                head = (point.id, *point.position, *point.color, point.error, len(point.track))
                file.write(POINT_3D.pack(*head))
                file.write(point.track.tobytes())


def _write_image(file: BinaryIO, image: Image) -> None:
    file.write(IMAGE.pack(image.id, *image.pose, image.camera))
    file.write(image.name.encode("utf-8", "replace") + b"\0")
    file.write(COUNT.pack(len(image.points)))
    file.write(image.points.tobytes())


def _check_camera(camera: Camera, folder: Path) -> None:
    what = f"{folder}/cameras: camera {camera.id}"
    if not (0 < camera.width <= 10**6 and 0 < camera.height <= 10**6):
        raise UserError(f"{what} has {camera.width} x {camera.height} pixels; solve it again")
    if not np.isfinite(camera.params).all() or np.abs(camera.params).max() > LARGEST:
        raise UserError(f"{what} has parameters that are not finite; solve it again")


def _check_image(image: Image, cameras: set[int], folder: Path) -> None:
    what = f"{folder}/images: {image.name or image.id}"
    if not image.name:
        raise UserError(f"{what} has no name; solve it again")
    if "\0" in image.name:  # it would end there in the binary format
        raise UserError(f"{what} has a zero byte in its name; solve it again")
    if image.camera not in cameras:
        raise UserError(f"{what} is of camera {image.camera}, which cameras does not have")
    pose = np.array(image.pose)
    length = np.linalg.norm(pose[:4])
    if not (np.isfinite(pose).all() and np.abs(pose).max() < LARGEST and length > 1e-6):
        raise UserError(f"{what} has no finite pose; solve it again")


def _is_place(point: Point) -> bool:
    numbers = (*point.position, point.error)
    return point.id != NO_POINT and all(abs(number) < LARGEST for number in numbers)
