"""Trains a field that grows: when it is refined, how its rates fall, how many rays a step takes.

And follows where a field in training, growing or not, has density.
"""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.nn.parallel import DistributedDataParallel

from models.voxels.field import VoxelField

from .clock import TrainingClock
from .lazy_adam import LazyAdam
from .processes import average_gradients, from_first, gather

# Share of the learning rates that is left at the end.
_DECAY = 0.05
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

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep parameters whose shape changes, and buffers, from DDP, before it is set up."""
        if trainer.world_size == 1 or stage != "fit":
            return
        system: Any = pl_module
        network = {id(p) for p in system.nerf_coarse.parameter_groups()[-1]["params"]}
        self._growing = [
            name
            for name, parameter in system.named_parameters()
            if name.startswith("nerf_") and id(parameter) not in network
        ]
        keep_from_ddp(pl_module, self._growing)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Average the gradients that DDP does not."""
        if self._growing:
            own = dict(pl_module.named_parameters())
            average_gradients(own[name] for name in self._growing)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        system: Any = pl_module
        if self.rays_per_step:
            system.train_rays.batch_size = self.rays_per_step
        elif self.adapt:
            system.train_rays.batch_size = system.nerf_coarse.step_size.first
        self.rays_per_step = system.train_rays.batch_size

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any
    ) -> None:
        system: Any = pl_module
        optimizer = trainer.optimizers[0]
        progress = self._progress = from_first(self.clock.progress(trainer))
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * _DECAY**progress
        generator = torch.Generator(system.device).manual_seed(
            system.options.seed * 7_368_787 + trainer.global_step
        )
        replaced = system.nerf_coarse.grow(
            progress,
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
        system: Any = pl_module
        if isinstance(system.nerf_coarse, VoxelField):
            system.nerf_coarse.regularise(trainer.global_step, _DECAY**self._progress)
        if not self.adapt:
            return
        self._rays += len(batch.rgbs)
        self._samples += outputs["samples"]
        if trainer.global_step % _STEPS:
            return
        # All processes take as many rays.
        rays, samples = (sum(c) for c in zip(*gather((self._rays, self._samples)), strict=True))
        size = system.nerf_coarse.step_size
        wanted = size.samples * rays / max(1, samples)
        # Half of the way: the number of samples answers late, and not in proportion.
        rays = int((0.5 * self.rays_per_step + 0.5 * wanted) / _MULTIPLE + 0.5) * _MULTIPLE
        rays = min(max(rays, _FEWEST), size.most)
        if abs(rays - self.rays_per_step) > 0.05 * self.rays_per_step:
            self.rays_per_step = system.train_rays.batch_size = rays
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


class FollowOccupancy(Callback):
    """Looks, before each step, at where the field has density now.

    All processes have the same weights and look at the same places: they need not tell.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.world_size > 1 and stage == "fit":
            keep_from_ddp(pl_module, [])

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any
    ) -> None:
        system: Any = pl_module
        system.occupancy.update(system.nerf_coarse, trainer.global_step)


def keep_from_ddp(system: LightningModule, parameters: list[str]) -> None:
    """Let DDP not look after these parameters, besides those named before, nor any buffer."""
    named = {*getattr(system, "_ddp_params_and_buffers_to_ignore", ()), *parameters}
    named |= {name for name, _ in system.named_buffers()}
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(system, sorted(named))
