"""train.py and eval.py as a user types them, timed and with their peak memory."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.support.device import max_rss_megabytes
from benchmarks.support.machine import ROOT
from errors import UserError, require


@dataclass(frozen=True)
class Done:
    """A command that succeeded.

    Attributes:
        command: what to type.
        started: time.time() at its start.
        seconds: it took in all.
        megabytes: peak memory of the process (resident set, 2^20 bytes).
        last_line: of what it printed.
    """

    command: str
    started: float
    seconds: float
    megabytes: float
    last_line: str


@dataclass(frozen=True)
class Result:
    """A training and the evaluation of what it gave.

    Attributes:
        psnr, ssim: in dB and from 0 to 1, means over the views, of their saved 8-bit images.
        views: how many.
        seconds_per_frame: of rendering them.
        seconds, steps: of the training, without start-up and validation.
        train, evaluate: the two commands.
    """

    psnr: float
    ssim: float
    views: int
    seconds_per_frame: float
    seconds: float
    steps: int
    train: Done
    evaluate: Done


def run_script(folder: Path, script: str, args: Sequence[str]) -> Done:
    """Run a script of the project in a folder. Raises UserError where it fails."""
    command = [sys.executable, str(ROOT / script), *args]
    started, clock = time.time(), time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)
        # The peak of this one process; it includes what this program held when it was started,
        # which is less than the scripts take to import PyTorch.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - clock
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().strip().splitlines() or ["no message"])
    if process.returncode != 0:
        raise UserError(f"{script} {shlex.join(args)}: {texts[1][-1]}")
    typed = shlex.join(["python", script, *args])
    return Done(typed, started, seconds, max_rss_megabytes(usage), texts[0][-1])


def train_and_evaluate(
    folder: Path, name: str, train_args: Sequence[str], eval_args: Sequence[str]
) -> Result:
    """Train and evaluate in a folder, where ckpts/, logs/ and the views come to be.

    Args:
        name: of the experiment; its views are in <folder>/<name>/views.

    Raises UserError where a command fails.
    """
    trained = run_script(folder, "train.py", [*train_args, "--exp_name", name])
    views = f"{name}/views"
    own = ["--ckpt_path", f"ckpts/{name}/last.ckpt", "--out_dir", views]
    evaluated = run_script(folder, "eval.py", [*own, *eval_args])
    report = _newest(folder / views, "metrics.json")
    run = _newest(folder / "logs" / name, "run.json")
    mean = report["mean"]
    return Result(
        *(float(mean["psnr"]), float(mean["ssim"]), len(report["views"])),
        *(float(report["seconds_per_frame"]), float(run["seconds"]), int(run["step"])),
        *(trained, evaluated),
    )


def _newest(folder: Path, name: str) -> Any:
    """The content of the newest JSON file of that name. Raises UserError where there is none."""
    found = sorted(folder.rglob(name), key=lambda path: path.stat().st_mtime)
    require(bool(found), f"{folder}: no {name} was written; are there photos of these views?")
    return json.loads(found[-1].read_text())


def scene_flags(dataset_name: str, root_dir: str) -> list[str]:
    """Flags of train.py for a scene; its folder as an absolute path, as runs have their own."""
    flags = ["--dataset_name", dataset_name]
    return flags + (["--root_dir", str(Path(root_dir).absolute())] if root_dir else [])


def scene_title(dataset_name: str, root_dir: str) -> str:
    """What a record calls the scene: its folder's name, or the format of a scene without one."""
    return Path(root_dir).name if root_dir else dataset_name
