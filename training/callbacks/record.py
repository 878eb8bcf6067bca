"""What a run was: options, versions, machine, time, cameras; for report.py."""

from __future__ import annotations

import contextlib
import platform
import shutil
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from cli import typed_command
from models.parallel import cores
from training.callbacks.clock import TrainingClock
from training.callbacks.keep_last import KeepLast
from training.system import system_of
from writing.files import remove_unfinished, replacing, write_json, write_png

RUN, SCENE, PHOTOS, CAPTURE = (
    "run.json",
    "scene.json",
    "photos.png",
    "capture",
)
# What prepare.py leaves beside a capture.
_CAPTURE_FILES = ("capture_report.json", "contact_sheet.png", "cameras.png")
_THUMBNAIL, _SHOWN = 160, 12


def log_folder(trainer: Trainer) -> Path | None:
    """The folder of TensorBoard's logs; None where another process writes them, or nobody."""
    # Not trainer.log_dir, which is a message between the processes: all would have to ask.
    if not trainer.is_global_zero or not isinstance(trainer.logger, TensorBoardLogger):
        return None
    return Path(trainer.logger.log_dir)


class RunRecord(Callback):
    """Writes run.json beside TensorBoard's logs when training starts, and again when it ends.

    Args:
        options: of the training, as plain values.
    """

    def __init__(self, options: dict[str, Any], clock: TrainingClock, keep_last: KeepLast) -> None:
        self.options, self.clock, self.keep_last = options, clock, keep_last
        self.folder: Path | None = None
        self._record: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.folder = log_folder(trainer)
        if self.folder is None:
            return
        for former in self.folder.parent.glob("version_*"):  # of runs that were killed
            remove_unfinished(former)
        system = system_of(pl_module)
        scene = system.scene
        device = pl_module.device
        self._record = {
            "command": typed_command(),
            "options": self.options,
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "first_step": trainer.global_step,
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "pytorch-lightning", "numpy")},
            },
            "device": torch.cuda.get_device_name(device)
            if device.type == "cuda"
            else f"{device.type}, {cores()} threads",
            "devices": trainer.world_size,
            "scene": scene.name,
            "views": {split: len(views) for split, views in scene.splits.items()},
            "parameters": sum(p.numel() for p in pl_module.parameters()),
        }
        write_json(self.folder / SCENE, scene.to_dict())
        photos = system.train_photos
        some = np.linspace(0, len(photos) - 1, min(_SHOWN, len(photos))).round().astype(int)
        write_png(self.folder / PHOTOS, _side_by_side([photos.image(int(i)).numpy() for i in some]))
        for name in _CAPTURE_FILES:
            source = Path(self.options["root_dir"]) / name
            if source.is_file():
                with replacing(self.folder / CAPTURE / name) as temporary:
                    shutil.copyfile(source, temporary)
        self._write(trainer, "training")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, "interrupted" if self.keep_last.interrupted else "finished")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        with contextlib.suppress(OSError):  # where the disk is full, which is the exception told
            self._write(trainer, f"failed: {type(exception).__name__}")

    def add(self, values: dict[str, Any]) -> None:
        """Write further values into run.json after the training."""
        if self.folder is not None:
            self._record |= values
            write_json(self.folder / RUN, self._record)

    def _write(self, trainer: Trainer, state: str) -> None:
        if self.folder is not None:
            now = {
                "state": state,
                "step": trainer.global_step,
                "epoch": trainer.current_epoch,
                "seconds": round(self.clock.seconds, 1),
            }
            self._record |= now
            write_json(self.folder / RUN, self._record)


def _side_by_side(photos: list[np.ndarray]) -> np.ndarray:
    """Thumbnails in rows of six."""
    small = []
    for photo in photos:
        image = Image.fromarray(photo)
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        canvas = Image.new("RGB", (_THUMBNAIL + 6, _THUMBNAIL + 6), "white")
        canvas.paste(
            image, ((canvas.width - image.width) // 2, (canvas.height - image.height) // 2)
        )
        small.append(np.asarray(canvas))
    columns = min(6, len(small))
    small += [np.full_like(small[0], 255)] * (-len(small) % columns)
    rows = [np.concatenate(small[i : i + columns], axis=1) for i in range(0, len(small), columns)]
    return np.concatenate(rows)
