"""An HTML report of one or several runs: python report.py pig"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 (before the imports that take time)

import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cli import parse, to_dict, typed_command
from errors import UserError, require, run_command
from opt import TrainOptions, from_dict
from reporting import compare, pictures
from reporting.contents import describe
from reporting.points import Point, kept_checkpoints, usual_points
from reporting.rendered import Rendered, render_checkpoints
from reporting.run import Run, load_run
from reporting.shown import STRIP_SIDE, shown_picture
from writing.html.page import data_uri, write_page


@dataclass(frozen=True)
class ReportOptions:
    """Write a report of what training and evaluation have left: one HTML file, and its figures."""

    exp_name: tuple[str, ...]
    """the run, or several to compare; their names alone do too: report.py pig fern"""
    checkpoints: tuple[int, ...] = ()
    """compare the run after so many epochs (or steps or seconds, as it was limited): the same
    views from each checkpoint that --keep_epochs, --keep_steps or --keep_seconds has kept"""
    views: int = 3
    """views that are rendered from each checkpoint, or from each of several runs; 0 renders none"""
    epochs: tuple[int, ...] = (10, 15, 20)
    """epochs that are marked in the curves and tabled; of runs that time or steps limited, half
    of them, three quarters and all are"""
    results_dir: tuple[str, ...] = ()
    """folder of each run's evaluation; by default where eval.py writes it"""
    log_dir: str = "logs"
    """folder of all runs' logs"""
    ckpt_dir: str = "ckpts"
    """folder of all runs' checkpoints"""
    out_dir: str | None = None
    """folder of the report; by default reports/<exp_name>"""

    def __post_init__(self) -> None:
        if not self.exp_name:
            raise UserError("--exp_name is missing: the name of a run in logs/")
        if self.results_dir and len(self.results_dir) != len(self.exp_name):
            raise UserError("--results_dir takes one folder for each of --exp_name")
        require(self.views >= 0, "--views must not be negative")
        require(
            not self.checkpoints or len(self.exp_name) == 1,
            "--checkpoints compares the checkpoints of one run; name one",
        )
        require(
            not self.checkpoints or self.views > 0, "--checkpoints needs --views of one at least"
        )


def main() -> None:
    args = sys.argv[1:]
    if args and not args[0].startswith("-"):
        args = ["--exp_name", *args]
    options = parse(ReportOptions, args)
    runs = load_runs(options)
    out = Path(options.out_dir or Path("reports") / "_".join(options.exp_name))
    figures = out / "figures"
    checkpoints = {run.name: Path(options.ckpt_dir) / run.name / "last.ckpt" for run in runs}
    points = [usual_points(run, options.epochs) for run in runs]
    rendered: list[Rendered] = []
    if options.checkpoints:
        folder = checkpoints[runs[0].name].parent
        kept = kept_checkpoints(runs[0], options.checkpoints, folder)
        rendered = render_checkpoints(kept, options.views)
        points = [[Point(views.label, views.step) for views in rendered]]
    elif len(runs) > 1 and options.views:
        rendered = render_runs(runs, checkpoints, options.views)
    labels = compare.labels(runs)
    # Points of several runs are at different steps; those of the first are marked.
    marks = {float(point.step): point.label for point in points[0]}
    curves = pictures.curves(figures, runs, labels, marks)
    named = [views.named(labels.get(views.label, views.label)) for views in rendered]
    write_page(
        out / "report.html",
        "report.html",
        title=f"Report: {', '.join(options.exp_name)}",
        written=datetime.now().strftime("%Y-%m-%d %H:%M"),
        runs=[
            describe(run, figures, marked, _defaults)
            for run, marked in zip(runs, points, strict=True)
        ],
        labels=labels,
        rendered=rendered,
        rows=[
            (name, shown_picture(path, STRIP_SIDE))
            for name, path in (pictures.rows(figures, named) if rendered else [])
        ],
        several=compare.table(runs, {views.label: views for views in rendered}, checkpoints)
        if len(runs) > 1
        else [],
        curves=[data_uri(path) for path in curves],
        epochs=options.epochs,
        command=typed_command(),
    )
    for run in runs:
        if run.missing:
            print(f"{run.name} is not complete: {'; '.join(run.missing)}")
    for views in rendered:
        print(
            f"{views.label}: PSNR {views.mean_psnr:.2f} dB, SSIM {views.mean_ssim:.4f} over "
            f"{len(views.names)} views"
        )
    print(f"{out / 'report.html'}; figures one by one in {figures}/")


def load_runs(options: ReportOptions) -> list[Run]:
    """The runs, with their evaluations."""
    folders: list[Path | None] = [Path(folder) for folder in options.results_dir]
    folders = folders or [None] * len(options.exp_name)
    for folder in folders:
        if folder is not None and not folder.is_dir():
            raise UserError(f"{folder}: no such folder; --results_dir names one that eval.py wrote")
    return [
        load_run(name, Path(options.log_dir), folder)
        for name, folder in zip(options.exp_name, folders, strict=True)
    ]


def render_runs(runs: list[Run], checkpoints: dict[str, Path], count: int) -> list[Rendered]:
    """The same views from each run's last checkpoint, where the runs are of one scene."""
    if len({run.record.get("scene") for run in runs}) > 1:
        return []
    try:
        return render_checkpoints(checkpoints, count)
    except UserError as error:
        print(f"{error}; no views are rendered")
        return []


def _defaults(model: str) -> dict[str, Any]:
    """The options of a training that names its model alone."""
    return to_dict(from_dict(TrainOptions, {"model": model}))


if __name__ == "__main__":
    run_command(main)
