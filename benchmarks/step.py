"""Where the time of a training step of the voxel field goes.

    python -m benchmarks.step --ckpt_path ckpts/lego/last.ckpt

Casting, forward pass, loss, backward pass, optimizer and smoothing are timed in one loop over real
steps.
The parts of the forward pass are timed beside it, on the same rays: TorchScript runs them as one.
What Lightning adds is the time of a step under its Trainer, with train.py's callbacks that work
at each step, less that of the loop. The field does not grow meanwhile.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from benchmarks.device import device_name, synchronize
from cli import parse, to_dict
from datasets.loaders.ray_loader import RayLoader
from errors import UserError, run_command
from models.grids.traversal import select_rays
from models.parallel import parallel, split_for_device
from models.voxels.field import VoxelField
from models.voxels.integral.autograd import Sampling, look
from models.voxels.renderer import VoxelRenderer
from opt import TrainOptions, from_dict
from train import NeRFSystem
from training.callbacks.clock import TrainingClock
from training.callbacks.collapse import CollapseGuard
from training.callbacks.keep_last import KeepLast
from training.callbacks.progress import TrainingProgress
from training.checkpoints import read_checkpoint
from training.distributed.devices import resolve_device

_WARM_UP = 2  # steps


@dataclass(frozen=True)
class Options:
    """Break down a training step of the voxel field."""

    ckpt_path: str
    """checkpoint of train.py --model voxels"""
    root_dir: str | None = None
    """folder of the scene, where it has moved"""
    batch_size: int | None = None
    """rays of a step; by default as many as make the number of samples that training takes"""
    steps: int = 50
    """steps of a round"""
    rounds: int = 3
    """rounds, of which the median is taken"""
    accelerator: str = "auto"
    """device"""

    def __post_init__(self) -> None:
        if min(self.steps, self.rounds) < 1 or (self.batch_size or 1) < 1:
            raise UserError("--steps, --rounds and --batch_size must be positive")


class System(NeRFSystem):
    """train.py's system, with a batch size that is told, and rates of zero: a step does all its
    work, and the next one finds the same field."""

    batch_size = 0

    def train_dataloader(self) -> RayLoader:
        loader = super().train_dataloader()
        loader.batch_size = self.batch_size
        return loader

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        return optimizer


class Timer(Callback):
    """Seconds from the end of the step `_WARM_UP` to that of the last one."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if trainer.global_step == _WARM_UP:
            synchronize(pl_module.device)
            self.start = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronize(pl_module.device)
        self.seconds = time.perf_counter() - self.start


class Smooth(Callback):
    """What training.callbacks.growing.Growing does after each step, but that nothing changes."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        system: Any = pl_module
        system.nerf_coarse.regularise(trainer.global_step, 0.0)


def main() -> None:
    options = parse(Options)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    system = load_system(options)
    system.batch_size = options.batch_size or usual_batch(system)
    rounds = [measure(system, options.steps) for _ in range(options.rounds)]
    whole = statistics.median(
        [under_lightning(system, options.steps) for _ in range(options.rounds)]
    )
    parts = {
        name: statistics.median(result[name] for result in rounds)
        for name in rounds[0]
        if name != "samples"
    }
    inside = sum(parts[name] for name in ("walk", "march", "gathers", "shader"))
    loop = parts["cast rays"] + parts["forward"] + parts["backward"] + parts["optimizer"]
    loop += parts["smoothing"]
    shown = {
        "cast rays": parts["cast rays"],
        "walk, march": parts["walk"] + parts["march"],
        "gathers": parts["gathers"],
        "shader": parts["shader"],
        "weights, sums, loss": parts["forward"] - inside,
        "backward": parts["backward"],
        "optimizer": parts["optimizer"],
        "smoothing": parts["smoothing"],
        "Lightning": whole - loop,
    }
    field = system.nerf_coarse
    print(
        f"{options.ckpt_path}: {system.batch_size} rays, "
        f"{statistics.median(r['samples'] for r in rounds):.0f} samples a step, "
        f"{len(field.grid)} cells of {field.resolution}^3, {field.grid.size} rows; "
        f"{device_name(system.device)}; medians of {options.rounds} rounds of {options.steps} steps"
    )
    for name, seconds in shown.items():
        print(f"{name:20} {1e3 * seconds:8.2f} ms  {seconds / whole:6.1%}")
    print(f"{'step':20} {1e3 * whole:8.2f} ms  {system.batch_size / whole / 1e3:.0f}k rays/s")


def load_system(options: Options) -> System:
    """The checkpoint's system with its scene, on the device."""
    checkpoint = read_checkpoint(Path(options.ckpt_path))
    trained = from_dict(TrainOptions, checkpoint.options)
    if trained.model != "voxels":
        raise UserError(f"{options.ckpt_path}: --model {trained.model}; this measures voxels")
    accelerator: Any = options.accelerator
    trained = replace(
        trained, accelerator=accelerator, root_dir=options.root_dir or trained.root_dir
    )
    system = System(**to_dict(trained))
    system.setup("fit")
    system.load_state_dict(checkpoint.state_dict)
    system.to(resolve_device(options.accelerator))
    assert isinstance(system.renderer, VoxelRenderer)
    system.renderer = system.renderer.to(system.device)
    return system


def usual_batch(system: System) -> int:
    """Rays that make the samples of a training step."""
    rays = loader_of(system, 4096).draw(4096, torch.Generator(system.device).manual_seed(0))
    generator = torch.Generator(system.device).manual_seed(0)
    samples = system.renderer.train(rays, 1.0, 0.0, generator)["voxels"]
    per_ray = getattr(samples, "samples", 0) / 4096
    return max(64, round(system.nerf_coarse.step_size.samples / max(per_ray, 1e-3) / 64) * 64)


def loader_of(system: System, batch_size: int) -> RayLoader:
    train = system.scene.splits["train"]
    photos, cameras = system.train_photos, system.scene.cameras[train]
    bounds, device = system.scene.bounds, system.device
    return RayLoader(photos, cameras, bounds, batch_size, device=device, endless=True)


def measure(system: System, steps: int) -> dict[str, float]:
    """Seconds of each part of a step, means over the steps, and samples of a step."""
    field = system.nerf_coarse
    optimizer = system.configure_optimizers()
    batches = iter(loader_of(system, system.batch_size))
    generator = torch.Generator(system.device).manual_seed(0)
    total: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        synchronize(system.device)
        start = time.perf_counter()
        result = work()
        synchronize(system.device)
        total[name] = total.get(name, 0.0) + time.perf_counter() - start
        return result

    for step in range(_WARM_UP + steps):
        if step == _WARM_UP:
            total.clear()
        batch = timed("cast rays", lambda: next(batches))

        def forward(batch: Any = batch) -> tuple[Tensor, int]:
            behind, rgbs = system.change_background(batch.alpha, batch.rgbs, generator)
            pictures = system.renderer.train(batch.rays, 1.0, 0.0, generator, behind)
            loss = system.loss(pictures, rgbs)
            return loss, list(pictures.values())[-1].samples  # type: ignore[attr-defined]

        loss, samples = timed("forward", forward)
        optimizer.zero_grad()
        timed("backward", loss.backward)
        timed("optimizer", optimizer.step)
        timed("smoothing", partial(field.regularise, step, 0.0))
        replay(field, batch.rays, generator, timed)
        total["samples"] = total.get("samples", 0.0) + samples
    return {name: seconds / steps for name, seconds in total.items()}


def replay(field: VoxelField, rays: Any, generator: Any, timed: Any) -> None:
    """Parts of the forward pass by themselves, in as many threads as it takes."""
    grid = field.grid
    slices = split_for_device(len(rays), rays.origins.device)
    random = torch.rand(8, len(rays), generator=generator, device=rays.origins.device)
    uniforms = [random[:, part] for part in slices]
    every = list(range(len(slices)))
    walk = timed("walk", lambda: grid.lattice.walk(rays))
    parts = [select_rays(walk, part) for part in slices]
    density, features = field.density_table.detach(), field.feature_table.detach()
    found = [look(grid, density, features, parts[i], Sampling(uniforms[i])) for i in every]

    def gather(i: int) -> None:
        rows, weights, seen = found[i].rows, found[i].weights, found[i].seen
        F.embedding_bag(rows, density, mode="sum", per_sample_weights=weights)
        rows, weights = rows.index_select(0, seen), weights.index_select(0, seen)
        F.embedding_bag(rows, features, mode="sum", per_sample_weights=weights)

    timed("march", lambda: parallel(lambda i: grid.march(parts[i], uniforms[i][0]), every))
    timed("gathers", lambda: parallel(gather, every))
    feature = torch.cat([part.feature for part in found])
    opacity = torch.cat([part.opacity for part in found])
    timed("shader", lambda: field.shader(feature, opacity, rays.viewdirs))


def under_lightning(system: System, steps: int) -> float:
    """Seconds of a step under Lightning's Trainer."""
    clock, timer = TrainingClock(None, steps + _WARM_UP), Timer()
    with tempfile.TemporaryDirectory() as folder:
        keep_last = KeepLast(Path(folder) / "last.ckpt")
        trainer = Trainer(
            accelerator="gpu" if system.device.type == "cuda" else system.device.type,
            devices=1,
            max_steps=steps + _WARM_UP,
            max_epochs=-1,
            logger=False,
            # The timer before the one that writes a checkpoint at the end.
            callbacks=[clock, Smooth(), CollapseGuard(), TrainingProgress(clock), timer, keep_last],
            enable_checkpointing=False,
            enable_model_summary=False,
            limit_val_batches=0,
        )
        device = system.device
        trainer.fit(system)
        system.to(device)  # the Trainer leaves it on the processor
    return timer.seconds / steps


if __name__ == "__main__":
    run_command(main)
