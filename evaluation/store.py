"""Frames of a film on disk: a stopped rendering goes on with those that are missing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from cli import typed_command
from writing.depth import grey_of_depth
from writing.files import write_json, write_png
from writing.frames import StoredFrames

from .views import View

DEPTH = "depth"
_KEY = "frames.json"


class FrameStore:
    """The frames of one film: NNN.png, and their depth as depth/NNN.png.

    Depth is grey: 255 at the near end of the range, 1 at its far end, 0 where there is nothing.

    Args:
        folder: of the film.
        count: frames that it has.
        job: plain values that its frames depend on; frames of another job are removed.
    """

    def __init__(self, folder: Path, count: int, job: Any) -> None:
        self.folder, self.count = folder, count
        text = json.dumps(job, sort_keys=True, default=str)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]

    def begin(self) -> list[int]:
        """The numbers of the frames that are still missing."""
        if self._stored_key() != self.key:
            self._remove_frames()
            write_json(
                self.folder / _KEY,
                {"frames": self.count, "key": self.key, "command": typed_command()},
            )
        return [number for number in range(self.count) if not self._is_done(number)]

    def write(self, number: int, view: View, near: float, far: float) -> None:
        """Write a frame; its image last, by which it counts as done."""
        depth: Float[np.ndarray, "height width"] = view.depth
        write_png(self._path(self.folder / DEPTH, number), grey_of_depth(depth, near, far))
        write_png(self._path(self.folder, number), view.image)

    def images(self) -> StoredFrames:
        """The frames, read one at a time."""
        return StoredFrames([self._path(self.folder, number) for number in range(self.count)])

    def depths(self) -> StoredFrames:
        """Their depth, in grey."""
        return StoredFrames(
            [self._path(self.folder / DEPTH, number) for number in range(self.count)]
        )

    def _path(self, folder: Path, number: int) -> Path:
        return folder / f"{number:03d}.png"

    def _is_done(self, number: int) -> bool:
        return all(
            self._path(folder, number).is_file() for folder in (self.folder, self.folder / DEPTH)
        )

    def _stored_key(self) -> str | None:
        try:
            return str(json.loads((self.folder / _KEY).read_text())["key"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _remove_frames(self) -> None:
        for folder in (self.folder, self.folder / DEPTH):
            for path in StoredFrames.in_folder(folder).paths:
                path.unlink()
