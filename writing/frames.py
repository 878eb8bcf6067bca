"""Frames of a film: in memory, or read from their files one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from errors import UserError

Frame = UInt8[np.ndarray, "height width 3"]  # of one size wherever a function has several
Picture = UInt8[np.ndarray, "_ _ 3"]  # of any size


class StoredFrames(Sequence[Frame]):
    """Images in files, in the given order; each is read when it is asked for and not kept.

    Behaves as a list of uint8 arrays (height, width, 3). Reading raises UserError where a file is
    no whole image, OSError where it cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)

    @classmethod
    def in_folder(cls, folder: Path) -> StoredFrames:
        """The PNGs of `folder` whose names are numbers (000.png, 001.png, ...), in that order."""
        numbered = [path for path in folder.glob("*.png") if path.stem.isdecimal()]
        return cls(sorted(numbered, key=lambda path: int(path.stem)))

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Frame: ...

    @overload
    def __getitem__(self, index: slice) -> StoredFrames: ...

    def __getitem__(self, index: int | slice) -> Frame | StoredFrames:
        if isinstance(index, slice):
            return StoredFrames(self.paths[index])
        return read_image(self.paths[index])

    def __iter__(self) -> Iterator[Frame]:
        return map(read_image, self.paths)


def read_image(path: Path) -> Frame:
    """The image at `path` as uint8 RGB (height, width, 3), without its alpha channel.

    Raises UserError where it is no whole image, OSError where it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except Exception as error:  # Pillow raises nearly anything on damaged content
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{path}: not a whole image; delete it and run again") from error


def evenly(count: int, at_most: int) -> list[int]:
    """`at_most` of the indices 0 .. count - 1, evenly spread with both ends; all where they fit."""
    if count <= at_most:
        return list(range(count))
    return [round(i) for i in np.linspace(0, count - 1, at_most)]
