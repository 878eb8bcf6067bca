"""One model on one scene by the real commands: quality, speed, memory.

    python -m benchmarks.quality --root_dir data/lego --model voxels --max_time 60 --seeds 0 1 2
    python -m benchmarks.quality --dataset_name llff --root_dir fern --model voxels --max_time 180
        --train_flags="--img_wh 504 378" --record fern-180s

For each seed, train.py and then eval.py, as a user types them. PSNR and SSIM are those of
metrics.json: of the saved 8-bit images, means over the views. Figures are medians over the seeds.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from benchmarks.record import Recorder, RecordOptions, Value, median_of
from benchmarks.support.commands import Result, scene_flags, scene_title, train_and_evaluate
from cli import parse
from errors import require, run_command


@dataclass(frozen=True)
class Options(RecordOptions):
    """Train and evaluate a model on a scene, for some seeds."""

    root_dir: str = ""
    """folder of the scene"""
    dataset_name: str = "blender"
    """format of the scene"""
    model: str = "voxels"
    """value of train.py's --model"""
    max_time: float | None = None
    """seconds of training"""
    max_steps: int | None = None
    """steps of training"""
    seeds: tuple[int, ...] = (0,)
    """a training for each"""
    split: str = "test"
    """views that are measured"""
    train_flags: str = ""
    """further flags of train.py, in one string: --train_flags="--img_wh 400 400" """
    eval_flags: str = ""
    """further flags of eval.py, likewise"""
    out_dir: str = "results/quality"
    """folder of the runs"""

    def __post_init__(self) -> None:
        limited = self.max_time is not None or self.max_steps is not None
        require(limited, "--max_time or --max_steps is missing: how long to train")
        require(bool(self.seeds), "--seeds must name at least one")


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    folder = Path(options.out_dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for seed in options.seeds:
        result = measure(options, folder, seed)
        results.append(result)
        print(
            f"seed {seed}: {result.psnr:.2f} dB, SSIM {result.ssim:.4f}, "
            f"{result.seconds_per_frame:.3f} s a frame, {result.steps} steps in "
            f"{result.seconds:.0f} s, {result.train.megabytes:.0f} MB peak",
            flush=True,
        )
        print(f"  {result.train.last_line}", flush=True)
    values = summarize(results, options.split)
    for value in values:
        print(f"{value.name}: {value.value:g} {value.unit}".rstrip())
    recorder.write(
        title(options),
        values,
        seeds=options.seeds,
        commands=[
            done.command.replace(str(Path(options.root_dir).absolute()), options.root_dir)
            for done in (results[0].train, results[0].evaluate)
        ],
        output=[result.train.last_line for result in results],
    )


def measure(options: Options, folder: Path, seed: int) -> Result:
    """Train and evaluate with one seed. Raises UserError where a command fails."""
    train = [*scene_flags(options.dataset_name, options.root_dir), "--model", options.model]
    for name in ("max_time", "max_steps"):
        limit = getattr(options, name)
        train += [] if limit is None else [f"--{name}", f"{limit:g}"]
    train += ["--seed", str(seed), *shlex.split(options.train_flags)]
    evaluation = ["--split", options.split, *shlex.split(options.eval_flags)]
    scene = scene_title(options.dataset_name, options.root_dir)
    name = f"{scene}-{options.model}-seed{seed}"
    return train_and_evaluate(folder, name, train, evaluation)


def summarize(results: list[Result], split: str) -> list[Value]:
    """The figures of the record, medians over the seeds."""
    views = f"{results[0].views} {split} views"
    return [
        median_of(f"PSNR, {views}", [r.psnr for r in results], "dB", "quality"),
        median_of(f"SSIM, {views}", [r.ssim for r in results], "", "quality", 4),
        median_of("steps", [r.steps for r in results], "", "quality", 0),
        median_of("training", [r.seconds for r in results], "s", "quality", 1),
        median_of("rendering a view", [r.seconds_per_frame for r in results], "s", "speed", 3),
        median_of("peak of training", [r.train.megabytes for r in results], "MB", "memory", 0),
        median_of("peak of evaluation", [r.evaluate.megabytes for r in results], "MB", "memory", 0),
    ]


def title(options: Options) -> str:
    """What the page calls it."""
    scene = scene_title(options.dataset_name, options.root_dir)
    limits = [f"{options.max_time:g} s"] if options.max_time is not None else []
    limits += [f"{options.max_steps} steps"] if options.max_steps is not None else []
    flags = f", {options.train_flags}" if options.train_flags else ""
    return f"{scene}, {options.model}, {', '.join(limits)}{flags}"


if __name__ == "__main__":
    run_command(main)
