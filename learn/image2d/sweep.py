"""Many fits: one for each combination of options, several at once, in one table."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import shlex
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cli import parse
from datasets.files.layout import check_layout
from datasets.files.text import read_json
from errors import UserError, run_command
from learn.image2d.cell import Cell
from learn.image2d.fit import DECISIVE, fit, identity, results_folder
from learn.image2d.options import FitOptions
from learn.image2d.photo import read_image
from learn.image2d.sweep_page import write_results
from training.distributed.devices import resolve_device

# What is shown of a fit, in metrics.json.
_SHOWN = {"psnr": float, "seconds": float, "curve": {"iteration": [float], "psnr": [float]}}


def sweep(options: FitOptions) -> None:
    """Fit each combination that is not done yet, and draw them together.

    A fit that fails is told in the table and does not end the others. Raises UserError at the
    end where there was one.
    """
    read_image(Path(options.image), options.max_size)  # a bad photo is told before anything starts
    folder = results_folder(options) / "sweep"
    axes, cells = combinations(options, folder)
    for cell in cells:
        take_result(cell)
    waiting = [cell for cell in cells if cell.metrics is None]
    on_cpu = resolve_device(options.accelerator).type == "cpu"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    jobs = max(1, min(options.jobs or ((cores or 1) if on_cpu else 1), len(waiting) or 1))
    threads = max(1, (cores or 1) // jobs)
    done = len(cells) - len(waiting)
    print(f"{len(cells)} fits, {done} already done; {jobs} at a time in {folder}/", flush=True)
    _print_row([*axes, "PSNR", "seconds"])
    for cell in cells:
        if cell.metrics is not None:
            _tell(cell)
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_run, cell, threads): cell for cell in waiting}
        try:
            for future in as_completed(futures):
                future.result()
                _tell(futures[future])
                write_results(folder, axes, cells, _command(options), whole=False)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    write_results(folder, axes, cells, _command(options), whole=True)
    print(f"table, curves and images: {folder / 'index.html'}")
    failed = [cell for cell in cells if cell.metrics is None]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(cells)} fits failed, the first one: {failed[0].state}; "
            "the same command tries them again"
        )


def combinations(options: FitOptions, folder: Path) -> tuple[list[str], list[Cell]]:
    """The names that a sweep varies, and a cell for each combination of their values.

    Raises UserError for a name or value that an option does not take.
    """
    axes: dict[str, list[Any]] = {}
    for word in options.sweep:
        name, equals, values = word.partition("=")
        if not equals or not values.strip(","):
            raise UserError(f"--sweep {word}: write it as lr=1e-2,1e-3")
        if name not in DECISIVE:
            raise UserError(f"--sweep {word}: can vary {', '.join(DECISIVE)}, not {name!r}")
        if name in axes:
            raise UserError(f"--sweep names {name} twice; put its values behind one {name}=")
        base = replace(options, sweep=())
        parsed = [
            getattr(parse(FitOptions, [f"--{name}", value.strip()], default=base), name)
            for value in values.split(",")
            if value.strip()
        ]
        axes[name] = list(dict.fromkeys(parsed))
    cells = []
    for combination in itertools.product(*axes.values()):
        chosen = dict(zip(axes, combination, strict=True))
        cell = replace(options, sweep=(), out_dir=str(folder / cell_name(chosen)), **chosen)
        cells.append(Cell(combination, cell))
    return list(axes), cells


def cell_name(chosen: dict[str, Any]) -> str:
    """A folder's name for these values, as in lr=0.01_L=10."""
    return "_".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in chosen.items()
    )


def _run(cell: Cell, threads: int) -> None:
    # A process of its own: one that dies, by lack of memory say, takes no other along.
    process = multiprocessing.get_context("spawn").Process(
        target=_fit_aside, args=(cell.options, threads), daemon=True
    )
    process.start()
    process.join()
    take_result(cell)
    if cell.metrics is None:
        log = cell.folder / "log.txt"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        killed = f"ended by signal {-(process.exitcode or 0)}"
        cell.state = killed if (process.exitcode or 0) < 0 else "".join(lines[-1:]) or "failed"


def _fit_aside(options: FitOptions, threads: int) -> None:
    def main() -> None:
        fit(options)

    torch.set_num_threads(threads)
    folder = results_folder(options)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / "log.txt").open("w", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        run_command(main)


def take_result(cell: Cell) -> None:
    """Take what an earlier run has left, if it is whole and of the same fit."""
    try:
        metrics = read_json(cell.folder / "metrics.json")
        if metrics.get("identity") != identity(cell.options):
            return
        check_layout(metrics, _SHOWN, "metrics.json")
        whole = all(metrics[name] is not None for name in _SHOWN)
        whole &= len(metrics["curve"]["iteration"]) == len(metrics["curve"]["psnr"])
        read_image(cell.folder / "reconstruction.png")
    except (OSError, UserError, LookupError, TypeError, AttributeError):
        return
    if whole:
        cell.metrics, cell.state = metrics, "done"


def _tell(cell: Cell) -> None:
    if cell.metrics is None:
        _print_row([*cell.values, "-", "-", cell.state])
    else:
        _print_row([*cell.values, f"{cell.metrics['psnr']:.2f}", f"{cell.metrics['seconds']:.1f}"])


def _print_row(values: list[Any]) -> None:
    print("  ".join(f"{value!s:>10}" for value in values), flush=True)


def _command(options: FitOptions) -> str:
    """The command that makes the sweep again."""
    words = ["python", "fit_image.py", "--image", options.image]
    default = FitOptions(image=options.image)
    for name, value in vars(options).items():
        if name not in ("image", "jobs") and value != getattr(default, name):
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{name}", *map(str, values)]
    return shlex.join(words)
