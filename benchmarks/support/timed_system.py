"""train.py's system with a clock in each part of a step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from benchmarks.support.device import synchronize
from cli import to_dict
from datasets.loaders.ray_loader import RayBatch, RayLoader
from models.rendering.renderer import TrainingMode
from opt import TrainOptions, from_dict
from train import NeRFSystem
from training.checkpoints import read_checkpoint
from training.distributed.devices import resolve_device

# In the order of a step.
_PARTS = ("casting rays", "forward and loss", "backward", "optimizer", "model's hooks")
_TRIAL_RAYS = 4096


class TimedSystem(NeRFSystem):
    """train.py's system with a batch size that is told, and learning rates of zero: a step does
    all its work, and the next one finds the same field.

    Attributes:
        batch_size: rays of a step.
        seconds: of each part of the steps so far, by name.
        samples: that the steps so far took.
    """

    batch_size = 0
    samples = 0

    def reset(self) -> None:
        """Forget what was measured so far."""
        self.seconds = dict.fromkeys(_PARTS, 0.0)
        self.samples = 0

    def setup(self, stage: str) -> None:
        if self.fields:
            return
        super().setup(stage)
        self.reset()
        # A dataclass of functions; the hooks are called by training.callbacks.hooks.ModelHooks.
        before, after = self.spec.before_step, self.spec.after_step
        self.spec = replace(
            self.spec,
            before_step=lambda *args: self.timed("model's hooks", lambda: before(*args)),
            after_step=lambda *args: self.timed("model's hooks", lambda: after(*args)),
        )

    def timed(self, part: str, work: Callable[[], Any]) -> Any:
        """The result of the work, whose seconds are counted."""
        synchronize(self.device)
        start = time.perf_counter()
        result = work()
        synchronize(self.device)
        self.seconds[part] += time.perf_counter() - start
        return result

    def train_dataloader(self) -> RayLoader:
        loader = super().train_dataloader()
        loader.batch_size, loader.endless = self.batch_size, True
        return cast(RayLoader, _TimedLoader(loader, self))

    def training_step(self, batch: RayBatch, batch_idx: int) -> dict[str, Any]:
        step: dict[str, Any] = self.timed(
            "forward and loss", lambda: super(TimedSystem, self).training_step(batch, batch_idx)
        )
        self.samples += step["n_samples"]
        return step

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        self.timed("backward", loss.backward)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Time the optimizer without its closure, which takes the gradients."""
        inner = 0.0

        def closure() -> Any:
            nonlocal inner
            start = time.perf_counter()
            result = optimizer_closure()
            synchronize(self.device)
            inner = time.perf_counter() - start
            return result

        self.timed("optimizer", lambda: optimizer.step(closure=closure))
        self.seconds["optimizer"] -= inner

    def configure_optimizers(self) -> Any:
        made = super().configure_optimizers()
        optimizer = made["optimizer"] if isinstance(made, dict) else made  # without a schedule
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        return optimizer


class _TimedLoader:
    """A loader of rays whose batches are timed."""

    def __init__(self, loader: RayLoader, system: TimedSystem) -> None:
        self.loader, self.system = loader, system

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[RayBatch]:
        batches = iter(self.loader)
        while True:
            yield self.system.timed("casting rays", lambda: next(batches))


class Timer(Callback):
    """Seconds of the steps after the first `warm_up` ones, of which nothing is counted."""

    def __init__(self, warm_up: int) -> None:
        self.warm_up = warm_up
        self.seconds = 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if trainer.global_step == self.warm_up:
            cast(TimedSystem, pl_module).reset()
            synchronize(pl_module.device)
            self.start = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronize(pl_module.device)
        self.seconds = time.perf_counter() - self.start


def load_system(ckpt_path: str, root_dir: str | None, accelerator: str) -> TimedSystem:
    """A checkpoint's system with its scene, on the device. Raises UserError for a wrong file."""
    checkpoint = read_checkpoint(Path(ckpt_path))
    trained = from_dict(TrainOptions, checkpoint.options)
    changes: dict[str, Any] = {"accelerator": accelerator, "root_dir": root_dir or trained.root_dir}
    system = TimedSystem(**to_dict(replace(trained, **changes)))
    system.setup("fit")
    system.load_state_dict(checkpoint.state_dict)
    return system.to(resolve_device(accelerator))


def usual_batch(system: TimedSystem) -> int:
    """Rays of a step as training takes them: those that make its samples, where it adapts."""
    options, spec = system.options, system.spec
    if options.batch_size is not None or not spec.adapts_batch(options.config):
        return options.batch_size or spec.batch_size
    rays = draw_rays(system, _TRIAL_RAYS)
    generator = torch.Generator(system.device).manual_seed(0)
    outputs = system.renderer.render_train(rays, TrainingMode(generator))
    per_ray = list(outputs.values())[-1].n_samples / _TRIAL_RAYS
    target: int = system.fields["nerf_coarse"].step_size.samples
    return max(64, round(target / max(per_ray, 1e-3) / 64) * 64)


def draw_rays(system: TimedSystem, count: int) -> Any:
    """Rays of random training pixels."""
    train = system.scene.splits["train"]
    cameras, bounds = system.scene.cameras[train], system.scene.bounds
    loader = RayLoader(system.train_photos, cameras, bounds, count, device=system.device)
    return loader.draw(count, torch.Generator(system.device).manual_seed(0))
