"""Lightning's Trainer with the callbacks of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger

from datasets.loaders.ray_loader import RayLoader
from datasets.photos import Photos
from models.spec import ModelSpec

from .callbacks.clock import LOG_EVERY, TrainingClock
from .callbacks.collapse import CollapseGuard
from .callbacks.growing import Growing
from .callbacks.hooks import ModelHooks
from .callbacks.keep_after import KeepAfter
from .callbacks.keep_last import KeepLast
from .callbacks.photo_errors import PhotoErrors
from .callbacks.progress import TrainingProgress
from .callbacks.record import RunRecord
from .callbacks.refining import Refining
from .callbacks.snapshots import Snapshots
from .checkpoint_files import SharedCheckpoints
from .config import RunConfig

_VALIDATE_EVERY = 1000  # steps of a field whose epochs have no fixed number of them


@dataclass(frozen=True)
class Run:
    """A Trainer, and the callbacks that are asked about the run afterwards."""

    trainer: Trainer
    clock: TrainingClock
    guard: CollapseGuard
    keep_last: KeepLast
    record: RunRecord
    errors: PhotoErrors


def make_run(
    config: RunConfig,
    spec: ModelSpec,
    model_config: Any,
    plain_options: dict[str, Any],
    photos: Photos,
    accelerator: str,
    devices: int,
    processes: int,
    refine_poses: bool,
) -> Run:
    """Set up a Trainer as the options say.

    Args:
        model_config: the model's own options.
        plain_options: all options as plain values, for the run's record.
        photos: to train on.
        accelerator, devices: Lightning's names, on this machine.
        processes: on all machines together.
        refine_poses: of a system with a refinement.
    """
    folder = Path("ckpts") / config.exp_name
    limited = config.max_steps is not None or config.max_time is not None
    pixels = RayLoader.batches(photos, 1)
    max_rays = None
    if spec.grows and not limited:
        max_rays = config.num_epochs * pixels
    clock = TrainingClock(config.max_time, config.max_steps, max_rays)
    files = SharedCheckpoints()
    guard, keep_last = CollapseGuard(), KeepLast(folder / "last.ckpt", files)
    errors = PhotoErrors()
    record = RunRecord(plain_options, clock, keep_last)
    growing = Growing(clock, config.batch_size is None and spec.adapts_batch(model_config))
    validate_every = _validate_every(config, spec, photos, processes)
    callbacks: list[Callback] = [
        clock,
        *([growing] if spec.grows else []),
        *([Refining(clock)] if refine_poses else []),
        ModelHooks(growing.lr_scale),
        errors,
        guard,
        TrainingProgress(clock),
        ModelCheckpoint(
            dirpath=folder,
            filename="{epoch:d}-{step:d}" if config.val_every_steps else "{epoch:d}",
            monitor="val/loss",
            save_last=True,
            save_top_k=config.save_top_k,
            enable_version_counter=False,
        ),
        KeepAfter(folder, config, clock, pixels),
        keep_last,
        record,
        *([Snapshots(config.snapshots, clock, keep_last)] if config.snapshots else []),
    ]
    strategy = "ddp" if config.strategy == "auto" else config.strategy
    trainer = Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=processes // devices,
        strategy=strategy if processes > 1 else "auto",
        precision=config.precision,
        max_epochs=-1 if limited or spec.grows else config.num_epochs,
        max_steps=config.max_steps or -1,
        logger=TensorBoardLogger("logs", name=config.exp_name, default_hp_metric=False),
        callbacks=callbacks,
        plugins=[files],
        val_check_interval=validate_every,
        check_val_every_n_epoch=None if validate_every else 1,
        num_sanity_val_steps=1,  # draws the picture of step 0
        log_every_n_steps=LOG_EVERY,
        enable_model_summary=False,
        benchmark=True,
    )
    return Run(trainer, clock, guard, keep_last, record, errors)


def steps_per_epoch(config: RunConfig, spec: ModelSpec, photos: Photos, processes: int) -> int:
    """Steps in a pass over the training pixels, by all processes together."""
    return RayLoader.batches(photos, (config.batch_size or spec.batch_size) * processes)


def _validate_every(
    config: RunConfig, spec: ModelSpec, photos: Photos, processes: int
) -> int | None:
    """Steps between validations; None after each epoch."""
    if config.val_every_steps is not None:
        return config.val_every_steps
    if spec.grows:
        return min(_VALIDATE_EVERY, config.max_steps or _VALIDATE_EVERY)
    short = config.max_steps and config.max_steps < steps_per_epoch(config, spec, photos, processes)
    return config.max_steps if short else None
