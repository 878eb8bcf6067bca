"""An HTML report of one or several runs: python report.py --exp_name pig"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cli import parse, to_dict
from errors import UserError, run_command
from opt import TrainOptions, from_dict
from reporting import pictures
from reporting.contents import describe, epoch_ends
from reporting.run import load_run
from writing.html.page import data_uri, write_page


@dataclass(frozen=True)
class ReportOptions:
    """Write a report of what training and evaluation have left: one HTML file, and its figures."""

    exp_name: tuple[str, ...]
    """the run, or several to compare"""
    epochs: tuple[int, ...] = (10, 15, 20)
    """epochs that are marked in the curves and tabled"""
    results_dir: tuple[str, ...] = ()
    """folder of each run's evaluation; by default where eval.py writes it"""
    log_dir: str = "logs"
    """folder of all runs' logs"""
    out_dir: str | None = None
    """folder of the report; by default reports/<exp_name>"""

    def __post_init__(self) -> None:
        if not self.exp_name:
            raise UserError("--exp_name is missing: the name of a run in logs/")
        if self.results_dir and len(self.results_dir) != len(self.exp_name):
            raise UserError("--results_dir takes one folder for each of --exp_name")


def main() -> None:
    options = parse(ReportOptions)
    folders: list[Path | None] = [Path(folder) for folder in options.results_dir]
    folders = folders or [None] * len(options.exp_name)
    for folder in folders:
        if folder is not None and not folder.is_dir():
            raise UserError(f"{folder}: no such folder; --results_dir names one that eval.py wrote")
    runs = [
        load_run(name, Path(options.log_dir), folder)
        for name, folder in zip(options.exp_name, folders, strict=True)
    ]
    out = Path(options.out_dir or Path("reports") / "_".join(options.exp_name))
    figures = out / "figures"
    # Epochs of several runs end at different steps; those of the first are marked.
    ends = epoch_ends(runs[0])
    marks = {float(ends[e]): f"epoch {e}" for e in options.epochs if e in ends}
    curves = pictures.curves(figures, runs, marks)
    write_page(
        out / "report.html",
        "report.html",
        title=f"Report: {', '.join(options.exp_name)}",
        written=datetime.now().strftime("%Y-%m-%d %H:%M"),
        runs=[describe(run, figures, options.epochs, _defaults) for run in runs],
        curves=[data_uri(path) for path in curves],
        epochs=options.epochs,
        command=shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
    )
    for run in runs:
        if run.missing:
            print(f"{run.name} is not complete: {'; '.join(run.missing)}")
    print(f"{out / 'report.html'}; figures one by one in {figures}/")


def _defaults(model: str) -> dict[str, Any]:
    """The options of a training that names its model alone."""
    return to_dict(from_dict(TrainOptions, {"model": model}))


if __name__ == "__main__":
    run_command(main)
