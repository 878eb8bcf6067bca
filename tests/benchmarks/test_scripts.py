"""Benchmarks that need no checkpoint of their own, run small; each writes its record."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.record import Record, read_record
from tests.conftest import ROOT
from tests.scenes import write_blender


def measure(folder: Path, name: str, *args: str) -> Record:
    """Run a benchmark in a folder; returns its record."""
    process = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *args, "--record", f"{name}.json"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return read_record(folder / f"{name}.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With a scene, and a photo."""
    path = tmp_path_factory.mktemp("benchmarks")
    write_blender(path / "ball")
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path / "photo.png")
    return path


def test_changing_light_and_the_parts_of_a_forward_pass(folder):
    scene = ("--root_dir", "ball", "--out_dir", "relit", "--steps", "20")
    record = measure(folder, "changing_light", *scene, "--train_flags=--model voxels")
    assert [value.unit for value in record.values] == ["dB"] * 4
    checkpoint = "ckpts/changing_light_plain/last.ckpt"
    record = measure(folder, "voxels.forward", "--ckpt_path", checkpoint, "--steps", "2")
    parts = {value.name: value.value for value in record.values}
    assert parts["forward pass"] > parts["traversal"] > 0


def test_start_up(folder):
    record = measure(folder, "startup", "--root_dir", "ball", "--models", "voxels", "--rounds", "1")
    first, whole = (value.value for value in record.values)
    assert 0 < first < whole


def test_loading(folder):
    args = ("--photos", "2", "--size", "64", "--rays", "4000")
    record = measure(folder, "baselines.loading", *args)
    assert {value.topic for value in record.values} == {"memory", "speed"}


def test_the_image_fit(folder):
    args = ("--image", "photo.png", "--steps", "1", "--rounds", "1")
    record = measure(folder, "baselines.fit_image", *args)
    assert len(record.values) == 3
