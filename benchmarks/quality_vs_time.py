"""How good each model is after so many seconds of training.

    python -m benchmarks.quality_vs_time --root_dir data/lego --models nerf voxels tensorf
    python -m benchmarks.quality_vs_time --dataset_name demo --times 10 30 60 --seeds 1

Each point is a training of its own with --max_time: rates fall, and fields grow, by the share of
the time that is over, so that a longer run stopped early is worse than a short one. Only training
counts, neither the start of the program nor validation nor evaluation. PSNR is that of eval.py: of
8-bit images of the whole validation set. Models take turns: what else a machine does meets all.
"""

from __future__ import annotations

import csv
import io
import shlex
import statistics
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from matplotlib import rc_context

from benchmarks.record import Recorder, RecordOptions, Value, median_of
from benchmarks.support.commands import scene_flags, scene_title, train_and_evaluate
from cli import parse
from errors import UserError, run_command
from learn.figures.style import line_style, new_figure, save_figure, style
from writing.files import write_bytes


@dataclass(frozen=True)
class Options(RecordOptions):
    """Measure quality against training time."""

    root_dir: str = ""
    """folder of the scene"""
    dataset_name: str = "blender"
    """format of the scene"""
    models: tuple[str, ...] = ("nerf", "voxels")
    """values of train.py's --model, with further flags of it where given: "nerf --netwidth 64" """
    times: tuple[float, ...] = (10, 20, 40, 80, 160, 300)
    """seconds of training"""
    seeds: int = 3
    """trainings of each model for each time"""
    train_flags: str = ""
    """flags of train.py for all models, such as --train_flags="--img_wh 400 400" """
    split: str = "val"
    """views that are compared"""
    out_dir: str = "results/quality_vs_time"
    """folder of the results: psnr.csv, psnr.png, and the runs"""

    def __post_init__(self) -> None:
        if not self.models or not self.times or self.seeds < 1 or min(self.times) <= 0:
            raise UserError("--models, --times and --seeds must name at least one, above 0")


@dataclass(frozen=True)
class Run:
    """One training; seconds as train.py's clock has them, psnr in dB."""

    model: str
    time: float
    seed: int
    seconds: float
    steps: int
    psnr: float


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    folder = Path(options.out_dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    runs: list[Run] = []
    for seed in range(options.seeds):
        for time in sorted(options.times):
            for model in options.models:
                runs.append(measure(options, folder, model, time, seed))
                row = runs[-1]
                print(f"{model}, {time:g} s, seed {seed}: {row.psnr:.2f} dB", flush=True)
                write_csv(folder / "psnr.csv", runs)
    draw(folder / "psnr.png", runs)
    print_table(options, runs)
    print(f"{folder / 'psnr.csv'}, {folder / 'psnr.png'}")
    scene = scene_title(options.dataset_name, options.root_dir)
    flags = f", {options.train_flags}" if options.train_flags else ""
    recorder.write(
        f"{scene}{flags}, {options.split} views, quality against training time",
        summarize(options, runs),
        seeds=range(options.seeds),
    )


def measure(options: Options, folder: Path, model: str, time: float, seed: int) -> Run:
    """Train and evaluate by the commands, in the folder."""
    name = f"{options.models.index(model)}-{time:g}s-seed{seed}"
    flags = scene_flags(options.dataset_name, options.root_dir)
    flags += shlex.split(f"--model {model} {options.train_flags}")
    flags += ["--max_time", str(time), "--val_every_steps", str(10**9), "--val_views", "1"]
    flags += ["--seed", str(seed), "--save_top_k", "0", "--no_restart"]
    result = train_and_evaluate(folder, name, flags, ["--split", options.split])
    return Run(model, time, seed, result.seconds, result.steps, result.psnr)


def write_csv(path: Path, runs: list[Run]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Run)])
    writer.writerows(astuple(run) for run in runs)
    write_bytes(path, text.getvalue().encode())


def medians(runs: list[Run], model: str) -> dict[float, tuple[float, float]]:
    """Seconds of training and PSNR, medians over seeds, for each time."""
    result = {}
    for time in sorted({run.time for run in runs}):
        same = [run for run in runs if (run.model, run.time) == (model, time)]
        result[time] = (
            statistics.median(run.seconds for run in same),
            statistics.median(run.psnr for run in same),
        )
    return result


def summarize(options: Options, runs: list[Run]) -> list[Value]:
    """PSNR of each model after each time, medians over the seeds."""
    values = []
    for model in options.models:
        for time in sorted(options.times):
            same = [run.psnr for run in runs if (run.model, run.time) == (model, time)]
            values.append(median_of(f"{model}, PSNR after {time:g} s", same, "dB", "quality"))
    return values


def draw(path: Path, runs: list[Run]) -> None:
    """Medians as lines, single runs as dots."""
    with rc_context(style()):
        figure = new_figure(6.0, 3.8)
        axes = figure.subplots()
        for number, model in enumerate(dict.fromkeys(run.model for run in runs)):
            seconds, psnrs = zip(*medians(runs, model).values(), strict=True)
            look: dict[str, Any] = {**line_style(number)}
            axes.plot(seconds, psnrs, label=model, **look)
            own = [run for run in runs if run.model == model]
            x, y = [run.seconds for run in own], [run.psnr for run in own]
            axes.scatter(x, y, s=12, color=look["color"])
        axes.set_xscale("log")
        times = sorted({run.time for run in runs})
        axes.set_xticks(times, [f"{time:g}" for time in times])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("seconds of training")
        axes.set_ylabel("PSNR (dB)")
        figure.legend(loc="outside upper left", fontsize="small")
        save_figure(figure, path)


def print_table(options: Options, runs: list[Run]) -> None:
    """Medians, and their distance to the first model's."""
    settings = ", ".join(f"{k} {v}" for k, v in asdict(options).items() if k != "record" and v)
    print(f"\n{settings}; {torch.get_num_threads()} threads; medians, dB")
    tables = {model: medians(runs, model) for model in options.models}
    first = tables[options.models[0]]
    for model, table in tables.items():
        cells = [
            f"{time:g} s {psnr:.2f} ({psnr - first[time][1]:+.2f})"
            for time, (_, psnr) in table.items()
        ]
        print(f"{model:12} " + "   ".join(cells))


if __name__ == "__main__":
    run_command(main)
