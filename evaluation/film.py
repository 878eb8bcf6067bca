"""A film of frames on disk: MP4 and GIF, of what is seen and of its depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from writing.depth import colour_of_grey
from writing.frames import Frame
from writing.gif import Gif, write_gif
from writing.video import write_mp4

from .store import FrameStore


@dataclass(frozen=True)
class GifLimits:
    """How large a GIF may be.

    Args:
        max_width: in pixels; None is the frames' own.
        max_bytes: the GIF is made smaller, then slower, until it fits; None is any.
    """

    max_width: int | None = None
    max_bytes: int | None = None


def write_films(folder: Path, name: str, store: FrameStore, fps: float, limits: GifLimits) -> Gif:
    """Write NAME.mp4 and NAME.gif, and those of depth: NAME_depth (red is near) and, as a GIF,
    NAME_depth_grey (lighter is nearer). Returns what became of NAME.gif."""
    images, greys = store.images(), store.depths()
    colours = Mapped(greys, lambda frame: colour_of_grey(frame[..., 0]))
    write_mp4(folder / f"{name}.mp4", images, fps)
    write_mp4(folder / f"{name}_depth.mp4", colours, fps)
    small = limits.max_width, limits.max_bytes
    gif = write_gif(folder / f"{name}.gif", images, fps, *small)
    write_gif(folder / f"{name}_depth.gif", colours, fps, *small)
    write_gif(folder / f"{name}_depth_grey.gif", greys, fps, *small)
    return gif


class Mapped(Sequence[Frame]):
    """Frames that are made of others when they are asked for."""

    def __init__(self, frames: Sequence[Frame], make: Callable[[Frame], Frame]) -> None:
        self.frames, self.make = frames, make

    def __len__(self) -> int:
        return len(self.frames)

    @overload
    def __getitem__(self, index: int) -> Frame: ...

    @overload
    def __getitem__(self, index: slice) -> Mapped: ...

    def __getitem__(self, index: int | slice) -> Frame | Mapped:
        if isinstance(index, slice):
            return Mapped(self.frames[index], self.make)
        return self.make(self.frames[index])

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.frames:
            yield np.ascontiguousarray(self.make(frame))
