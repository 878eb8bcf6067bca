"""Checkpoints kept at chosen points, and the bytes that those of one step share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from errors import UserError
from tests.conftest import ROOT
from tests.helpers.commands import TINY, weights
from tests.helpers.runs import command
from tests.scenes import write_blender
from training.checkpoint_files import SharedCheckpoints
from training.config import RunConfig

# 10 steps an epoch.
WORDS = ["--root_dir", "ball", "--val_every_steps", "10", "--save_top_k", "1", *TINY]
KEPT = ["--keep_epochs", "1", "2", "--keep_steps", "5", "20", "--keep_seconds", "1000"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball")
    command(folder, "train", "--exp_name", "whole", "--max_steps", "20", *WORDS, *KEPT)
    return folder


def files(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.iterdir()}


def test_chosen_points_are_kept_beside_the_best(folder: Path):
    kept = files(folder / "ckpts/whole")
    steps = {
        name: torch.load(path, weights_only=True)["global_step"] for name, path in kept.items()
    }
    assert {name: step for name, step in steps.items() if name.startswith("after_")} == {
        "after_epoch=1.ckpt": 10,
        "after_epoch=2.ckpt": 20,
        "after_step=5.ckpt": 5,
        "after_step=20.ckpt": 20,
    }
    assert len([name for name in kept if name.startswith("epoch=")]) == 1


def test_names_of_one_step_are_one_file(folder: Path):
    kept = files(folder / "ckpts/whole")
    last = kept["last.ckpt"].stat()
    assert kept["after_epoch=2.ckpt"].stat().st_ino == last.st_ino
    assert kept["after_step=20.ckpt"].stat().st_ino == last.st_ino
    assert kept["after_step=5.ckpt"].stat().st_ino != last.st_ino
    best = next(path for name, path in kept.items() if name.startswith("epoch="))
    step = torch.load(best, weights_only=True)["global_step"]
    assert best.samefile(kept[f"after_epoch={step // 10}.ckpt"])


def test_a_resumed_run_keeps_them_too(folder: Path):
    """The same steps at the same points, with the same weights."""
    command(folder, "train", "--exp_name", "parts", "--max_steps", "7", *WORDS, *KEPT)
    command(folder, "train", "--ckpt_path", "ckpts/parts/last.ckpt", "--max_steps", "20")
    whole, parts = files(folder / "ckpts/whole"), files(folder / "ckpts/parts")
    kept = {name for name in whole if name.startswith("after_")}
    assert kept <= parts.keys()
    for name in kept:
        one, other = weights(whole[name]), weights(parts[name])
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_fields_without_epochs_count_rays_and_time(folder: Path):
    command(
        *(folder, "train", "--root_dir", "ball", "--exp_name", "voxels", "--model", "voxels"),
        *("--max_time", "3", "--keep_seconds", "1", "3", "--keep_epochs", "1"),
        *("--accelerator", "cpu"),
    )
    kept = files(folder / "ckpts/voxels")
    assert {"after_seconds=1.ckpt", "after_seconds=3.ckpt", "after_epoch=1.ckpt"} <= kept.keys()
    clock = torch.load(kept["after_seconds=1.ckpt"], weights_only=True)["callbacks"]
    assert 1 <= clock["TrainingClock"]["seconds"] < 3
    clock = torch.load(kept["after_epoch=1.ckpt"], weights_only=True)["callbacks"]
    assert clock["TrainingClock"]["rays"] >= 8 * 24 * 24
    assert kept["after_seconds=3.ckpt"].samefile(kept["last.ckpt"])


def test_last_is_whole_at_any_moment(folder: Path):
    """Killed while it writes after each step, again and again."""
    words = [sys.executable, str(ROOT / "train.py"), "--exp_name", "killed", *WORDS]
    words += ["--max_steps", "100000", "--val_every_steps", "1"]
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL)
    last, copy = folder / "ckpts/killed/last.ckpt", folder / "seen.ckpt"
    seen = 0
    deadline = time.monotonic() + 60
    while seen < 20 and time.monotonic() < deadline and process.poll() is None:
        if last.exists():
            copy.unlink(missing_ok=True)
            os.link(last, copy)  # as a kill at this moment would leave it
            assert torch.load(copy, weights_only=True)["global_step"] > 0
            seen += 1
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert seen == 20
    assert weights(last)


def test_without_hard_links_one_copy_stays(tmp_path: Path, monkeypatch):
    def refused(*args: object) -> None:
        raise OSError("not here")

    monkeypatch.setattr(os, "link", refused)
    shared = SharedCheckpoints()
    for name in ("epoch=1.ckpt", "after_step=7.ckpt", "last.ckpt"):
        shared.save_checkpoint({"global_step": 7}, tmp_path / name)
    shared.save_checkpoint({"global_step": 3}, tmp_path / "epoch=0.ckpt")
    shared.keep_one(tmp_path / "last.ckpt", also="after_")
    assert files(tmp_path).keys() == {"after_step=7.ckpt", "last.ckpt", "epoch=0.ckpt"}


def test_points_are_positive():
    with pytest.raises(UserError, match="--keep_steps must be positive"):
        RunConfig(keep_steps=(5, 0))
