"""last.ckpt: written from time to time, when training ends, and when somebody interrupts it."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from training.checkpoint_files import SharedCheckpoints
from training.distributed.processes import any_process

from .keep_after import AFTER


class KeepLast(Callback):
    """Keeps a checkpoint that an interrupted run goes on from.

    The first Ctrl-C (or SIGTERM) ends training after the step that is running, so that what is
    saved is a whole step; a second one ends it at once. It ends all processes after the same
    step, whichever of them it reached.

    Args:
        path: of the checkpoint.
        files: how checkpoints are written.
        seconds: between two checkpoints.
    """

    def __init__(self, path: Path, files: SharedCheckpoints, seconds: float = 300.0) -> None:
        self.path, self.files = path, files
        self.seconds = seconds
        self.interrupted = False
        self._asked_to_stop = False
        self._saved_at = time.monotonic()
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved_at = time.monotonic()
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may set handlers

        def interrupt(number: int, frame: FrameType | None) -> None:
            if self._asked_to_stop:
                raise KeyboardInterrupt
            self._asked_to_stop = True
            print("\ninterrupted: stopping after this step (again: at once)", flush=True)

        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, interrupt)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        due = time.monotonic() - self._saved_at >= self.seconds
        self.interrupted, due = any_process(self._asked_to_stop, due)
        if self.interrupted:
            trainer.should_stop = True
        elif due:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        (self.interrupted,) = any_process(self._asked_to_stop)
        self._save(trainer)
        if trainer.is_global_zero:
            self.files.keep_one(self.path, also=AFTER)
        self._restore_handlers()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._restore_handlers()

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
