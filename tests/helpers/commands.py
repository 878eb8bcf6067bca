"""Running the project's commands on tiny scenes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from tests.conftest import ROOT

TINY = [
    *("--netdepth", "2", "--netwidth", "16", "--netskip", "1", "--N_samples", "8"),
    *("--N_importance", "8", "--batch_size", "500", "--val_rays", "64", "--noise_std", "0"),
    *("--accelerator", "cpu"),
]


def run(cwd: Path, script: str, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    process = subprocess.run(
        [sys.executable, ROOT / script, *args], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == code, process.stdout + process.stderr
    return process


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]
