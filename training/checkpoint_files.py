"""How checkpoints are written: whole or not at all, and those of one step as one file."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from training.distributed.processes import is_main_process
from writing.files import replacing


class SharedCheckpoints(TorchCheckpointIO):
    """Lets all names of a step share their bytes, by hard links where the file system has them.

    epoch=N.ckpt, last.ckpt and after_*.ckpt of one step hold the same weights; the one written
    last knows most of how far the run is, and the others become it. A file is never changed in
    place, only replaced whole: a name that shares it keeps it, whatever becomes of the others.
    """

    def __init__(self) -> None:
        super().__init__()
        self._began = time.time()
        self._steps: dict[Path, int] = {}

    def save_checkpoint(
        self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        path = Path(path).absolute()
        with replacing(path) as temporary:
            # Not Lightning's own, which writes to the system's folder for such files first.
            torch.save(dict(checkpoint), temporary)
        self._steps[path] = checkpoint["global_step"]
        for name in self._twins(path):
            _link(path, name)

    def has_written(self, path: Path) -> bool:
        """Whether this run has written `path`, in this process or in the first one."""
        if is_main_process():
            return path.absolute() in self._steps and path.is_file()
        return path.is_file() and path.stat().st_mtime >= self._began

    def keep_one(self, path: Path, also: str) -> None:
        """Remove what is the same as `path` and could not be linked to it.

        Args:
            also: beginning of names that stay nevertheless.
        """
        for name in self._twins(path.absolute()):
            if not name.samefile(path) and not name.name.startswith(also):
                name.unlink()

    def _twins(self, path: Path) -> list[Path]:
        """The other files of its step."""
        step = self._steps.get(path)
        return [p for p, at in self._steps.items() if at == step and p != path and p.is_file()]


def _link(path: Path, name: Path) -> None:
    """Make `name` a hard link to `path`, at no moment absent."""
    with contextlib.suppress(OSError), replacing(name) as temporary:
        os.link(path, temporary)
