"""Calls a model's own hooks around each training step (ModelSpec.before_step, after_step)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from training.distributed.processes import keep_from_ddp
from training.system import system_of


class ModelHooks(Callback):
    """What a model does besides the optimizer's step.

    All processes have the same weights and do the same: they need not exchange anything.

    Args:
        lr_scale: what is left of the learning rates in this step.
    """

    def __init__(self, lr_scale: Callable[[], float]) -> None:
        self.lr_scale = lr_scale

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep buffers from DDP, which would send them around in each step."""
        if trainer.world_size > 1 and stage == "fit":
            keep_from_ddp(pl_module, [])

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any
    ) -> None:
        system = system_of(pl_module)
        system.spec.before_step(system.fields, trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        system = system_of(pl_module)
        system.spec.after_step(system.fields, trainer.global_step, self.lr_scale())
