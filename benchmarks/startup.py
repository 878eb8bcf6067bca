"""Start-up: from typing the command to the end of the first training step.

    python -m benchmarks.startup --root_dir data/lego --models voxels nerf

train.py is run with one step; its checkpoint appears right after it. The rest of the command is
the validation at the end. Models take turns.
"""

from __future__ import annotations

import shlex
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.record import Recorder, RecordOptions, median_of
from benchmarks.support.commands import run_script, scene_flags, scene_title
from cli import parse
from errors import require, run_command
from models import model_dict


@dataclass(frozen=True)
class Options(RecordOptions):
    """Measure the start-up of train.py."""

    root_dir: str = ""
    """folder of the scene"""
    dataset_name: str = "blender"
    """format of the scene"""
    models: tuple[str, ...] = tuple(model_dict)
    """values of train.py's --model"""
    rounds: int = 3
    """starts of each model"""
    train_flags: str = ""
    """further flags of train.py for all models, in one string"""

    def __post_init__(self) -> None:
        require(self.rounds > 0 and bool(self.models), "--rounds and --models must not be empty")


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    first: dict[str, list[float]] = {model: [] for model in options.models}
    whole: dict[str, list[float]] = {model: [] for model in options.models}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for model in options.models:
                seconds = measure(options, Path(folder), model, f"{model}{number}")
                first[model].append(seconds[0])
                whole[model].append(seconds[1])
    values = []
    for model in options.models:
        print(
            f"{model:10} first step after {statistics.median(first[model]):6.2f} s, "
            f"whole command {statistics.median(whole[model]):6.2f} s"
        )
        values += [
            median_of(f"{model}, to the end of the first step", first[model], "s", "start-up"),
            median_of(f"{model}, whole command with one step", whole[model], "s", "start-up"),
        ]
    scene = scene_title(options.dataset_name, options.root_dir)
    recorder.write(f"train.py on {scene}, {options.rounds} starts", values)


def measure(options: Options, folder: Path, model: str, name: str) -> tuple[float, float]:
    """Seconds to the end of the first step, and of the whole command."""
    flags = [*scene_flags(options.dataset_name, options.root_dir), "--model", model]
    flags += ["--max_steps", "1", "--val_every_steps", str(10**9), "--save_top_k", "0"]
    flags += ["--exp_name", name, *shlex.split(options.train_flags)]
    done = run_script(folder, "train.py", flags)
    checkpoint = folder / "ckpts" / name / "last.ckpt"
    return checkpoint.stat().st_mtime - done.started, done.seconds


if __name__ == "__main__":
    run_command(main)
