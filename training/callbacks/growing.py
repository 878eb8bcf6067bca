"""Trains a field that grows: when it is refined, how its rates fall, how many rays a step takes."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from models.field import GrowingField
from training.distributed.processes import (
    all_gather,
    average_gradients,
    broadcast_from_rank0,
    keep_from_ddp,
)
from training.optim.lazy_adam import LazyAdam
from training.system import system_of

from .clock import TrainingClock

# What is left of the learning rates at the end.
_LR_DECAY = 0.05
# The number of rays follows the samples of so many steps, in multiples.
_STEPS, _MULTIPLE = 8, 64
_FEWEST = 256


class Growing(Callback):
    """Lets a field grow, and keeps the number of samples of a step even.

    DDP fixes the shapes of parameters at the start: it looks after the field's network, and the
    gradients of all that grows are averaged here.

    Args:
        clock: tells how much of the training is done.
        adapt: choose the number of rays of a step by their samples (see the field's `step_size`);
            otherwise it stays.
    """

    def __init__(self, clock: TrainingClock, adapt: bool) -> None:
        self.clock, self.adapt = clock, adapt
        self.rays_per_step = 0
        self._rays = self._samples = 0
        self._progress = 0.0
        self._growing: list[str] = []

    def lr_scale(self) -> float:
        """What is left of the learning rates in this step."""
        return _LR_DECAY**self._progress

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep parameters whose shape changes from DDP, before it is set up."""
        if trainer.world_size == 1 or stage != "fit":
            return
        groups = _field(pl_module).parameter_groups()
        network = {id(p) for group in groups if group["name"] == "network" for p in group["params"]}
        self._growing = [
            name
            for name, parameter in pl_module.named_parameters()
            if name.startswith("nerf_") and id(parameter) not in network
        ]
        keep_from_ddp(pl_module, self._growing)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Average the gradients that DDP does not."""
        if self._growing:
            own = dict(pl_module.named_parameters())
            average_gradients(own[name] for name in self._growing)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        train_rays = system_of(pl_module).train_rays
        if self.rays_per_step:
            train_rays.batch_size = self.rays_per_step
        elif self.adapt:
            train_rays.batch_size = _field(pl_module).step_size.first
        self.rays_per_step = train_rays.batch_size

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any
    ) -> None:
        system = system_of(pl_module)
        optimizer = trainer.optimizers[0]
        self._progress = broadcast_from_rank0(self.clock.progress(trainer))
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.lr_scale()
        generator = torch.Generator(system.device).manual_seed(
            system.seed * 7_368_787 + trainer.global_step
        )
        replaced = _field(pl_module).grow(
            self._progress,
            trainer.global_step,
            lambda count: system.train_rays.draw(count, generator),
        )
        assert isinstance(optimizer, LazyAdam)
        for old, new, rows in replaced:
            optimizer.replace(old, new, rows)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if not self.adapt:
            return
        self._rays += len(batch.rgbs)
        self._samples += outputs["n_samples"]
        if trainer.global_step % _STEPS:
            return
        # All processes take as many rays.
        counts = all_gather((self._rays, self._samples))
        rays, samples = (sum(c) for c in zip(*counts, strict=True))
        size = _field(pl_module).step_size
        target = size.samples * rays / max(1, samples)
        # Half of the way: the number of samples answers late, and not in proportion.
        rays = int((0.5 * self.rays_per_step + 0.5 * target) / _MULTIPLE + 0.5) * _MULTIPLE
        rays = min(max(rays, _FEWEST), size.most)
        if abs(rays - self.rays_per_step) > 0.05 * self.rays_per_step:
            self.rays_per_step = system_of(pl_module).train_rays.batch_size = rays
        self._rays = self._samples = 0

    def state_dict(self) -> dict[str, Any]:
        return {
            "rays_per_step": self.rays_per_step,
            "rays": self._rays,
            "samples": self._samples,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rays_per_step = int(state_dict["rays_per_step"])
        self._rays, self._samples = int(state_dict["rays"]), int(state_dict["samples"])


def _field(module: LightningModule) -> GrowingField:
    field: GrowingField = system_of(module).fields["nerf_coarse"]
    return field
