"""Short runs of each model, from the command line's words, in this process."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from pathlib import Path

import pytest

SMALL = ("--netdepth", "2", "--netwidth", "16", "--netskip", "1", "--N_samples", "8")
COMMON = ("--root_dir", "ball", "--accelerator", "cpu", "--val_rays", "64", "--save_top_k", "-1")
# Each run is validated, and so saved, at a step from which it is then resumed: after it grew, or
# after what is occupied became known.
RUNS = {
    "tensorf": (
        *("--model", "tensorf", "--resolution", "32", "--batch_size", "100"),
        *("--max_steps", "102", "--val_every_steps", "75"),
    ),
    "nerf": (
        *("--sampler", "occupancy", "--batch_size", "50", *SMALL),
        *("--max_steps", "275", "--val_every_steps", "260"),
    ),
    "voxels": (
        *("--model", "voxels", "--resolution", "32"),
        *("--max_steps", "320", "--val_every_steps", "260"),
    ),
}


def command(folder: Path, script: str, *args: str) -> str:
    """Run train.py or eval.py as from the command line; returns what it printed."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [f"{script}.py", *args])
        importlib.import_module(script).main()
    return printed.getvalue()


def found(pattern: str, output: str) -> float:
    match = re.search(pattern, output)
    assert match, output
    return float(match[1])


def val_psnr(output: str) -> float:
    return found(r"val PSNR ([\d.]+) dB", output)
