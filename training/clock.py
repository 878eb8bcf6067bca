"""How long training took, and how fast it goes; validation is not counted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from .processes import any_process

LOG_EVERY = 10  # steps


class TrainingClock(Callback):
    """Counts seconds of training over all parts of a resumed run, and stops it after `max_time`.

    Logs `train/rays_per_second`, a mean over the steps since it was last logged.
    """

    def __init__(self, batch_size: int, max_time: float | None = None) -> None:
        self.batch_size = batch_size
        self.max_time = max_time
        self.seconds = 0.0
        self.rays_per_second = 0.0
        self._steps_timed = 0
        self._seconds_timed = 0.0
        self._resumed_at: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._resumed_at = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self._count()
        self._steps_timed += 1
        if trainer.global_step % LOG_EVERY == 0:
            rays = self._steps_timed * self.batch_size * trainer.world_size
            self.rays_per_second = rays / max(1e-9, self.seconds - self._seconds_timed)
            self._steps_timed, self._seconds_timed = 0, self.seconds
            pl_module.log("train/rays_per_second", self.rays_per_second)
        # The clocks of several processes differ; all must stop at the same step.
        if self.max_time is not None and any(any_process(self.seconds >= self.max_time)):
            trainer.should_stop = True

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._resumed_at is not None:
            self._count()
            self._resumed_at = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._resumed_at = time.perf_counter()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still while the block runs."""
        running = self._resumed_at is not None
        if running:
            self._count()
            self._resumed_at = None
        yield
        if running:
            self._resumed_at = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = self._seconds_timed = float(state_dict["seconds"])

    def _count(self) -> None:
        now = time.perf_counter()
        if self._resumed_at is not None:
            self.seconds += now - self._resumed_at
        self._resumed_at = now
