"""Where the time of a training step goes.

    python -m benchmarks.step --ckpt_path ckpts/lego/last.ckpt

Real steps of a trained field, of any model, under Lightning's Trainer and with train.py's
callbacks that work at each step: casting rays, the forward pass with its loss, the backward pass,
the optimizer and the model's own hooks are timed within them; the rest is Lightning's. Learning
rates are zero and the field does not grow, so that all steps are alike. On a GPU each part waits
for the device, which training does not: the parts tell more than their sum.
`python -m benchmarks.voxels.forward` looks into the forward pass of the voxel field.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from pytorch_lightning import Trainer

from benchmarks.record import Recorder, RecordOptions, single
from benchmarks.support.device import device_name
from benchmarks.support.timed_system import TimedSystem, Timer, load_system, usual_batch
from cli import parse
from errors import UserError, run_command
from training.callbacks.clock import TrainingClock
from training.callbacks.collapse import CollapseGuard
from training.callbacks.hooks import ModelHooks
from training.callbacks.keep_last import KeepLast
from training.callbacks.progress import TrainingProgress
from training.checkpoint_files import SharedCheckpoints

_WARM_UP = 2  # steps


@dataclass(frozen=True)
class Options(RecordOptions):
    """Break down a training step."""

    ckpt_path: str
    """checkpoint of train.py"""
    root_dir: str | None = None
    """folder of the scene, where it has moved"""
    batch_size: int | None = None
    """rays of a step; by default as many as training takes"""
    steps: int = 50
    """steps of a round"""
    rounds: int = 3
    """rounds, of which the median is taken"""
    accelerator: str = "auto"
    """device"""

    def __post_init__(self) -> None:
        if min(self.steps, self.rounds) < 1 or (self.batch_size or 1) < 1:
            raise UserError("--steps, --rounds and --batch_size must be positive")


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    system = load_system(options.ckpt_path, options.root_dir, options.accelerator)
    system.batch_size = options.batch_size or usual_batch(system)
    rounds = [measure(system, options.steps) for _ in range(options.rounds)]
    medians = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    samples, whole = medians.pop("samples"), medians.pop("step")
    medians["Lightning"] = whole - sum(medians.values())
    title = f"{system.scene.name}, {system.options.model}, {system.batch_size} rays"
    title += f", {samples:.0f} samples a step" if samples else " a step"
    print(
        f"{options.ckpt_path}: {title}; {device_name(system.device)}; medians of "
        f"{options.rounds} rounds of {options.steps} steps"
    )
    for name, seconds in medians.items():
        print(f"{name:20} {1e3 * seconds:8.2f} ms  {seconds / whole:6.1%}")
    print(f"{'step':20} {1e3 * whole:8.2f} ms  {system.batch_size / whole / 1e3:.0f}k rays/s")
    values = [single("step", 1e3 * whole, "ms", "speed", 2)]
    values += [single(name, 1e3 * s, "ms", "speed", 2) for name, s in medians.items()]
    recorder.write(f"parts of a training step: {title}", values)


def measure(system: TimedSystem, steps: int) -> dict[str, float]:
    """Seconds of a step and of its parts, and its samples: means over the steps of a round."""
    clock = TrainingClock(None, steps + _WARM_UP)
    timer = Timer(_WARM_UP)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="gpu" if system.device.type == "cuda" else system.device.type,
            devices=1,
            max_steps=steps + _WARM_UP,
            max_epochs=-1,
            logger=False,
            # The timer before the one that writes a checkpoint at the end.
            callbacks=[
                *(clock, ModelHooks(lambda: 0.0), CollapseGuard(), TrainingProgress(clock)),
                *(timer, KeepLast(Path(folder) / "last.ckpt", SharedCheckpoints())),
            ],
            enable_checkpointing=False,
            enable_model_summary=False,
            limit_val_batches=0,
        )
        device = system.device
        trainer.fit(system)
        system.to(device)  # the Trainer leaves it on the processor
    parts = {name: seconds / steps for name, seconds in system.seconds.items()}
    return {**parts, "samples": system.samples / steps, "step": timer.seconds / steps}


if __name__ == "__main__":
    run_command(main)
