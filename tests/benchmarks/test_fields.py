"""Benchmarks of the fields, run on a tiny scene as their first lines have it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.helpers.commands import TINY, run
from tests.scenes import write_blender


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a scene, and a voxel field and a network of the paper's kind trained on it."""
    folder = tmp_path_factory.mktemp("benchmarks")
    write_blender(folder / "ball")
    every = ("train.py", "--root_dir", "ball", "--accelerator", "cpu")
    run(folder, *every, "--model", "voxels", "--max_steps", "20", "--exp_name", "voxels")
    run(folder, *every, *TINY, "--max_steps", "2", "--exp_name", "nerf")
    return folder


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        (
            "step",
            ["--ckpt_path", "ckpts/voxels/last.ckpt", "--steps", "2", "--rounds", "1"],
            ["casting rays", "backward", "optimizer", "hooks", "Lightning", "rays/s"],
        ),
        (
            "scaling",
            [
                *("--resolutions", "16", "24", "--photos", "4", "--shells", "0.5", "--size", "32"),
                *("--batch_size", "64", "--steps", "1", "--rounds", "1"),
            ],
            ["against resolution", "against photos", "against occupied cells", "24^3"],
        ),
        (
            "quality_vs_time",
            ["--root_dir", "ball", "--models", "voxels", "--times", "1", "--seeds", "1"],
            ["voxels, 1 s, seed 0", "psnr.csv", "psnr.png"],
        ),
        (
            "occupancy_rendering",
            ["--ckpt_path", "ckpts/nerf/last.ckpt", "--resolution", "16", "--views", "1"],
            ["two passes", "occupancy", "times as fast"],
        ),
    ],
)
def test_a_benchmark_prints_its_figures(trained, name, args, words):
    process = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *args],
        cwd=trained,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    for word in words:
        assert word in process.stdout, process.stdout
