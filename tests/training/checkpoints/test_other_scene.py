"""Going on from a checkpoint: with its scene wherever that lies, over no other one's run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from datasets import load_scene
from datasets.config import SceneConfig
from errors import UserError
from tests.helpers.commands import TINY
from tests.helpers.runs import command
from tests.scenes import circle_poses, write_blender, write_llff
from training.callbacks.clock import TrainingClock
from training.callbacks.progress import TrainingProgress
from training.checkpoints import read_checkpoint
from training.same_scene import is_same_scene

RUN = (*TINY, "--max_steps", "3", "--dataset_name", "llff", "--root_dir", "ball")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two scenes whose photos have the same names, and a run of one."""
    folder = tmp_path_factory.mktemp("work")
    write_llff(folder / "ball", circle_poses(10))
    write_llff(folder / "other", circle_poses(13)[1:11] * np.array([1, 1, 1, 1.3]))
    command(folder, "train", *RUN, "--exp_name", "ball")
    return folder


def last(folder: Path, name: str = "ball") -> Path:
    return folder / "ckpts" / name / "last.ckpt"


def test_run_of_another_scene_is_refused_and_kept(folder):
    before = last(folder).read_bytes()
    go_on = ("--ckpt_path", "ckpts/ball/last.ckpt", "--root_dir", "other", "--max_steps", "5")
    for more in ((), ("--prefixes_to_ignore", "nerf_fine")):
        with pytest.raises(UserError, match=r"another scene.*choose another --exp_name"):
            command(folder, "train", *go_on, *more)
    assert last(folder).read_bytes() == before


def test_weights_of_another_scene_start_a_run_of_another_name(folder):
    go_on = ("--ckpt_path", "ckpts/ball/last.ckpt", "--root_dir", "other", "--max_steps", "2")
    output = command(folder, "train", *go_on, "--exp_name", "tuned")
    assert "of another scene; training starts at step 0" in output
    assert torch.load(last(folder, "tuned"), weights_only=True)["global_step"] == 2


@pytest.mark.parametrize("more", [(), ("--img_wh", "16", "12")])
def test_scene_that_moved_or_is_read_smaller_is_the_same(folder, more):
    shutil.copytree(folder / "ball", folder / "moved", dirs_exist_ok=True)
    name = f"moved{len(more)}"
    last(folder, name).parent.mkdir()
    shutil.copy(last(folder), last(folder, name))
    options = ("--exp_name", name, "--root_dir", "moved", "--max_steps", "5", *more)
    command(folder, "train", "--ckpt_path", f"ckpts/{name}/last.ckpt", *options)
    assert torch.load(last(folder, name), weights_only=True)["global_step"] == 5


def test_checkpoint_without_names_is_compared_by_its_poses(folder):
    content = torch.load(last(folder), weights_only=True)
    del content["scene"]["names"]
    torch.save(content, folder / "old.ckpt")
    kept = read_checkpoint(folder / "old.ckpt")
    same, other = (
        load_scene(SceneConfig(dataset_name="llff", root_dir=str(folder / name)))
        for name in ("ball", "other")
    )
    assert kept.scene is not None
    assert is_same_scene(kept.scene, kept.photo_names, same)
    assert not is_same_scene(kept.scene, kept.photo_names, other)


def test_scene_that_photos_were_taken_from_is_the_same(tmp_path):
    write_blender(tmp_path, train=8)
    path = tmp_path / "transforms_train.json"
    whole = json.loads(path.read_text())
    scene = load_scene(SceneConfig(root_dir=str(tmp_path)))
    names = [frame.name for frame in scene.frames if frame is not None]
    path.write_text(json.dumps({**whole, "frames": whole["frames"][:5]}))
    fewer = load_scene(SceneConfig(root_dir=str(tmp_path)))
    assert is_same_scene(scene, names, fewer)
    assert is_same_scene(scene, [f"images_8/{i}.png" for i in range(len(names))], scene)
    assert not is_same_scene(scene, [f"images_8/{i}.png" for i in range(len(names))], fewer)


def test_names_are_compared_without_folders_and_endings_where_that_is_unique(tmp_path):
    write_llff(tmp_path / "ball", circle_poses(10))
    scene = load_scene(SceneConfig(dataset_name="llff", root_dir=str(tmp_path / "ball")))
    names = [frame.name for frame in scene.frames if frame is not None]
    assert is_same_scene(scene, [f"images/{Path(name).stem}.JPG" for name in names], scene)
    assert not is_same_scene(scene, names[1:] + names[:1], scene)


LIMITS = [("--max_steps", "3"), ("--max_time", "0.001", "--max_steps", "9")]


@pytest.mark.parametrize("limit", LIMITS)
def test_run_that_reached_its_limit_says_so_and_does_nothing(folder, limit):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    output = command(folder, "train", "--ckpt_path", "ckpts/ball/last.ckpt", *limit)
    assert f"has reached {limit[0]}" in output
    assert "nothing to do" in output
    assert len(output.splitlines()) == 1
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_run_that_had_all_its_epochs_does_nothing(folder):
    words = ("--root_dir", "ball", "--dataset_name", "llff", *TINY, "--exp_name", "epochs")
    command(folder, "train", *words, "--num_epochs", "1", "--batch_size", "2000")
    before = last(folder, "epochs").read_bytes()
    output = command(folder, "train", "--ckpt_path", "ckpts/epochs/last.ckpt")
    assert "has reached --num_epochs 1" in output
    assert last(folder, "epochs").read_bytes() == before


def test_progress_counts_rays_where_steps_have_no_end():
    """A field that grows has no number of steps in an epoch."""
    clock = TrainingClock(max_rays=1000)
    clock.rays = 400
    trainer = Mock(spec=Trainer, global_step=3, estimated_stepping_batches=float("inf"))
    bar = TrainingProgress(clock)
    bar.on_train_start(trainer, Mock(spec=LightningModule))
    assert bar._bar is not None
    assert (bar._bar.n, bar._bar.total) == (400, 1000)
    bar._close()
