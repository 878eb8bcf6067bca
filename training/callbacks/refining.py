"""Refines the photos' cameras while the field is trained: from when on, and how fast."""

from __future__ import annotations

import math
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from models.refinement.cameras import CameraRefinement
from training.distributed.processes import (
    average_gradients,
    broadcast_from_rank0,
    keep_from_ddp,
)
from training.system import RadianceSystem, system_of

from .clock import TrainingClock

# The share of the training after which cameras begin to move (before there is something to be
# seen they would follow noise), and what is left of their learning rates at the end.
_BEGIN, _LEFT = 0.05, 0.01


class Refining(Callback):
    """Switches the refinement on, lets its rates fall, and shows others the corrected cameras.

    Args:
        clock: tells how much of the training is done.
    """

    def __init__(self, clock: TrainingClock) -> None:
        self.clock = clock
        self._names: list[str] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the parameters from DDP, which expects gradients of each from the first step."""
        if trainer.world_size > 1 and stage == "fit":
            names = [name for name, _ in pl_module.named_parameters()]
            self._names = [name for name in names if name.startswith("refinement.")]
            keep_from_ddp(pl_module, self._names)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _show_cameras(system_of(pl_module))

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any
    ) -> None:
        refinement = _refinement(system_of(pl_module))
        done = broadcast_from_rank0(self.clock.progress(trainer))
        refinement.active = done >= _BEGIN
        # Half a cosine from 1 to _LEFT: cameras move most while the field gets finer.
        scale = _LEFT + (1 - _LEFT) * 0.5 * (1 + math.cos(math.pi * done))
        rates = {group["name"]: group["lr"] for group in refinement.parameter_groups()}
        for group in trainer.optimizers[0].param_groups:
            if group.get("name") in rates:
                group["lr"] = rates[group["name"]] * scale

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Average the gradients that DDP does not."""
        if self._names:
            own = dict(pl_module.named_parameters())
            average_gradients(own[name] for name in self._names)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        _show_cameras(system_of(pl_module))


def _refinement(system: RadianceSystem) -> CameraRefinement:
    assert system.refinement is not None
    return system.refinement


def _show_cameras(system: RadianceSystem) -> None:
    """To who looks for visible cells (a field that grows), and to validation."""
    refinement, device = _refinement(system), system.device
    system.train_rays.cameras = refinement(system.train_cameras.to(device)).detach()
    given = system.scene.cameras[system.validation.views].to(device)
    system.val_rays.cameras = refinement.through_lens(given).detach()
