"""What breaks in the middle costs one line, and no checkpoint: memory, disks, folders."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from errors import UserError, explain
from tests.fuzz.runs import trained_voxels
from tests.helpers.commands import TINY, weights
from tests.helpers.runs import command
from tests.scenes import write_blender
from training import checkpoint_files
from writing.files import is_unfinished

WORDS = ("--max_steps", "20", "--val_every_steps", "5", "--save_top_k", "-1", *TINY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball")
    command(folder, "train", "--root_dir", "ball", *WORDS, "--exp_name", "whole")
    return folder


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Makes a disk with these options; the test is skipped where that takes another user."""
    mounted: list[Path] = []

    def make(options: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True
        )
        if done.returncode:
            pytest.skip("no disk can be mounted here")
        mounted.append(place)
        return place

    try:
        yield make
    finally:
        for place in mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def failing(after: int, error: Exception) -> Callable[..., Any]:
    """A training step that raises in the step of this number."""
    own, numbers = train.NeRFSystem.training_step, itertools.count()

    def step(system: Any, batch: Any, batch_idx: int) -> Any:
        if next(numbers) == after:
            raise error
        return own(system, batch, batch_idx)

    return step


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["machine", "gpu", "torch"],
)
def test_memory_that_runs_out_costs_no_checkpoint(folder, monkeypatch, request, error):
    name = request.node.callspec.id
    last = f"ckpts/{name}/last.ckpt"
    with monkeypatch.context() as patch:
        patch.setattr(train.NeRFSystem, "training_step", failing(12, error))
        with pytest.raises(UserError) as caught:
            command(folder, "train", "--root_dir", "ball", *WORDS, "--exp_name", name)
    line = str(caught.value)
    assert line.startswith("out of memory: try a smaller --batch_size")
    assert line.endswith(f"; go on with: python train.py --ckpt_path {last}")
    assert torch.load(folder / last, weights_only=True)["global_step"] == 10
    if name == "machine":
        command(folder, "train", "--ckpt_path", last)
        whole, resumed = weights(folder / "ckpts/whole/last.ckpt"), weights(folder / last)
        assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_nothing_to_go_on_with(folder, monkeypatch):
    monkeypatch.setattr(train.NeRFSystem, "training_step", failing(2, MemoryError()))
    with pytest.raises(UserError, match="nothing had been saved yet: start again"):
        command(folder, "train", "--root_dir", "ball", *WORDS, "--exp_name", "early")
    last = "ckpts/whole/after.ckpt"
    os.link(folder / "ckpts/whole/last.ckpt", folder / last)
    monkeypatch.setattr(train.NeRFSystem, "training_step", failing(2, MemoryError()))
    more = ("--max_steps", "30", "--exp_name", "further")
    with pytest.raises(UserError, match=f"go on with: python train.py --ckpt_path {last}"):
        command(folder, "train", "--ckpt_path", last, *more)


def test_moments_that_do_not_fit_reach_no_optimizer(folder):
    """Its kernels would write beyond their end."""
    content = torch.load(folder / "ckpts/whole/last.ckpt", weights_only=True)
    state = content["optimizer_states"][0]["state"][0]
    state["exp_avg"] = state["exp_avg"][:1]
    torch.save(content, folder / "short.ckpt")
    words = ("--max_steps", "22", "--exp_name", "short", "--ckpt_path", "short.ckpt")
    with pytest.raises(UserError, match=r"short\.ckpt: the state.*exp_avg of"):
        command(folder, "train", *words)


def test_damaged_weights_are_told(tmp_path):
    trained_voxels(tmp_path)
    content = torch.load(tmp_path / "given.ckpt", weights_only=True)
    content["state_dict"]["nerf_coarse.box"] = torch.zeros(2, 3, dtype=torch.float64)
    torch.save(content, tmp_path / "given.ckpt")
    with pytest.raises(UserError, match=r"given\.ckpt: its weights are damaged"):
        command(tmp_path, "train", "--ckpt_path", "given.ckpt", "--max_steps", "5")


@pytest.mark.parametrize(
    "damage",
    [
        {"optimizer_states": [{}]},
        {"loops": {}},
        {"position": "x"},
        {"position": float("nan")},
        {"position": 2**63},
        {"lr_schedulers": [{"_step_count": "x"}]},
        {"callbacks": {"TrainingClock": {"seconds": None}}},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_a_damaged_state_of_training_is_named(folder, damage):
    content = torch.load(folder / "ckpts/whole/last.ckpt", weights_only=True)
    torch.save(content | damage, folder / "damaged.ckpt")
    words = ("--max_steps", "22", "--exp_name", "damaged", "--ckpt_path", "damaged.ckpt")
    with pytest.raises(UserError) as caught:
        command(folder, "train", *words)
    assert "damaged.ckpt: the state of its training is damaged" in str(caught.value)
    assert not (folder / "ckpts/damaged/last.ckpt").exists()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.EROFS, "Read-only file system"),
    ],
    ids=["full", "broken", "readonly"],
)
def test_a_disk_that_refuses_costs_no_checkpoint(folder, monkeypatch, request, error):
    name = request.node.callspec.id
    own, numbers = torch.save, itertools.count()

    def save(content: Any, path: Path) -> None:
        if next(numbers) >= 3:
            path.write_bytes(b"half")
            raise error
        own(content, path)

    monkeypatch.setattr(checkpoint_files.torch, "save", save)
    with pytest.raises(UserError) as caught:
        command(folder, "train", "--root_dir", "ball", *WORDS, "--exp_name", name)
    last = f"ckpts/{name}/last.ckpt"
    line = str(caught.value)
    assert os.strerror(error.errno or 0) in line
    assert f"{name}/" in line.split(":")[0]
    assert line.endswith(f"; go on with: python train.py --ckpt_path {last}")
    assert torch.load(folder / last, weights_only=True)["global_step"] in (5, 10)
    assert not [path for path in folder.rglob(".*") if is_unfinished(path)]


def test_a_small_disk(folder, small_disk):
    disk = small_disk("size=400k")
    words = ("--root_dir", str(folder / "ball"), *WORDS, "--max_steps", "400")
    with pytest.raises(UserError) as caught:
        command(disk, "train", *words)
    assert "No space left on device" in str(caught.value)
    assert "go on with" in str(caught.value)
    assert weights(disk / "ckpts/exp/last.ckpt")
    assert not [path for path in disk.rglob(".*") if is_unfinished(path)]
    args = ("--ckpt_path", str(folder / "ckpts/whole/last.ckpt"), *words[:2], "--split", "test")
    with pytest.raises(OSError, match="No space left") as refused:
        command(disk, "eval", *args, "--accelerator", "cpu")
    assert "results" in str(explain(refused.value))
    assert not [path for path in disk.rglob(".*") if is_unfinished(path)]


def test_a_folder_that_cannot_be_written(folder, small_disk):
    disk = small_disk("size=1m,ro")
    scene = ("--root_dir", str(folder / "ball"))
    checkpoint = ("--ckpt_path", str(folder / "ckpts/whole/last.ckpt"))
    for script, words in {
        "train": (*scene, *WORDS),
        "eval": (*checkpoint, *scene, "--split", "test"),
        "prepare": ("--input", str(folder / "ball/train"), "--root_dir", "scene"),
        "plot_model": (),
    }.items():
        with pytest.raises((OSError, UserError)) as caught:
            command(disk, script, *words)
        assert "Read-only file system" in str(explain(caught.value)), script
