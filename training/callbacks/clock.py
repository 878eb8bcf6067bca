"""How long training took, and how fast it goes; validation is not counted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from training.distributed.processes import any_process

LOG_EVERY = 10  # steps


class TrainingClock(Callback):
    """Counts seconds of training over all parts of a resumed run, and stops it after `max_time`.

    Logs `train/seconds`, and `train/rays_per_second`, a mean over the steps since it was last
    logged.

    Args:
        max_time: seconds to train; None has no such limit.
        max_steps: steps that are planned, for `progress`.
        max_rays: rays to train on; None has no such limit.
    """

    def __init__(
        self,
        max_time: float | None = None,
        max_steps: int | None = None,
        max_rays: int | None = None,
    ) -> None:
        self.max_time, self.max_steps, self.max_rays = max_time, max_steps, max_rays
        self.rays = 0
        self.steps = 0  # of this part of the run
        self.seconds = 0.0
        self.rays_per_second = 0.0
        self._rays_timed = 0
        self._seconds_timed = 0.0
        self._resumed_at: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._resumed_at = time.perf_counter()

    def progress(self, trainer: Trainer) -> float:
        """The share of the training that is done, by the limit that is nearest."""
        done = [
            reached / limit
            for reached, limit in (
                (self.seconds, self.max_time),
                (trainer.global_step, self.max_steps),
                (self.rays, self.max_rays),
            )
            if limit
        ]
        return min(1.0, max(done, default=0.0))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._count()
        self.steps += 1
        self.rays += len(batch.rgbs) * trainer.world_size
        if trainer.global_step % LOG_EVERY == 0:
            rays, seconds = self.rays - self._rays_timed, self.seconds - self._seconds_timed
            self.rays_per_second = rays / max(1e-9, seconds)
            self._rays_timed, self._seconds_timed = self.rays, self.seconds
            pl_module.log("train/rays_per_second", self.rays_per_second)
            pl_module.log("train/seconds", self.seconds)
        out_of_time = self.max_time is not None and self.seconds >= self.max_time
        # The clocks of several processes differ; all must stop at the same step.
        if self.max_time is not None and any(any_process(out_of_time)):
            trainer.should_stop = True
        if self.max_rays is not None and self.rays >= self.max_rays:
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
        return {"seconds": self.seconds, "rays": self.rays}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = self._seconds_timed = float(state_dict["seconds"])
        self.rays = self._rays_timed = int(state_dict.get("rays", 0))

    def _count(self) -> None:
        now = time.perf_counter()
        if self._resumed_at is not None:
            self.seconds += now - self._resumed_at
        self._resumed_at = now
