"""Checkpoints after chosen epochs, steps or seconds, to be compared when the training is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from datasets.loaders.ray_loader import RayBatch
from training.config import RunConfig
from training.distributed.processes import any_process
from training.system import system_of

from .clock import TrainingClock

AFTER = "after_"
UNITS = ("epoch", "step", "seconds")


def kept_name(unit: str, value: int) -> str:
    """The file of a kept checkpoint: after_epoch=10.ckpt is of ten whole epochs."""
    return f"{AFTER}{unit}={value}.ckpt"


class KeepAfter(Callback):
    """Writes a checkpoint at each chosen point; nothing removes them.

    Args:
        folder: of the run's checkpoints.
        config: with the points.
        clock: of the training; it stands still while a checkpoint is written.
        rays_per_epoch: pixels to train on. The Trainer's own epochs are not asked: fields that
            grow have none, and those of a resumed run are counted from its parts.
    """

    def __init__(
        self, folder: Path, config: RunConfig, clock: TrainingClock, rays_per_epoch: int
    ) -> None:
        self.folder, self.clock, self.rays_per_epoch = folder, clock, rays_per_epoch
        self.points = {
            "epoch": config.keep_epochs,
            "step": config.keep_steps,
            "seconds": config.keep_seconds,
        }
        self._passed = dict.fromkeys(UNITS, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._passed = self._now(trainer, system_of(pl_module).position)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: RayBatch,
        batch_idx: int,
    ) -> None:
        now = self._now(trainer, batch.end)
        due = [
            (unit, value)
            for unit in UNITS
            for value in self.points[unit]
            if self._passed[unit] < value
        ]
        # The clocks of several processes differ; all must save at the same step.
        reached = any_process(*(now[unit] >= value for unit, value in due)) if due else ()
        for (unit, value), is_reached in zip(due, reached, strict=True):
            if is_reached:
                now[unit] = max(now[unit], value)
                with self.clock.paused():
                    trainer.save_checkpoint(self.folder / kept_name(unit, value))
        self._passed = now

    def _now(self, trainer: Trainer, rays: int) -> dict[str, float]:
        return {
            "epoch": rays // self.rays_per_epoch,
            "step": trainer.global_step,
            "seconds": self.clock.seconds,
        }
