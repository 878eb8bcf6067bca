"""The class project's setting: --preset, snapshots, the log, the record of a run."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from geometry.rays import Bounds
from models.rendering.output import RenderOutput
from tests.scenes import write_npz
from training.callbacks.snapshots import ramp_depth


def test_preset_gives_way_to_flags(monkeypatch):
    words = ["--preset", "cs180", "--batch_size", "30000", "--root_dir", "x"]
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    options = train.read_options()
    assert (options.batch_size, options.config.N_samples, options.config.N_importance) == (
        30000,
        64,
        0,
    )
    assert (options.near, options.far, options.lr, options.optimizer) == (2.0, 6.0, 5e-4, "adam")
    assert (options.val_every_steps, options.val_views, options.val_rays) == (50, 6, 0)


def test_ramp_is_the_weights_times_one_to_zero():
    t = torch.linspace(2, 6, 9)
    weights = torch.rand(5, 9) / 9
    picture = RenderOutput(torch.zeros(5, 3), weights @ t, weights.sum(1))
    expected = weights @ torch.linspace(1, 0, 9)
    torch.testing.assert_close(ramp_depth(picture, Bounds(2.0, 6.0)), expected)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("class")
    write_npz(root / "ball.npz", size=16)
    words = (
        "--preset cs180 --dataset_name npz --root_dir ball.npz --batch_size 64 --N_samples 8 "
        "--max_steps 40 --netwidth 16 --netdepth 2 --val_every_steps 20 --snapshots 0 20 "
        "--exp_name cs --accelerator cpu"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(sys, "argv", ["train.py", *words.split()])
        train.main()
    return root / "logs/cs/version_0"


def test_snapshots_and_gifs(run_folder: Path):
    names = [path.name for path in sorted((run_folder / "snapshots").iterdir())]
    assert names == ["photo.png", "step_000000.png", "step_000020.png", "step_000040.png"]
    assert Image.open(run_folder / "snapshots" / names[1]).size == (16, 16)
    assert Image.open(run_folder / "strip.png").width > 300
    for name in ("novel_views.gif", "depth_ramp.gif"):
        gif = Image.open(run_folder / name)
        assert gif.size == (16, 16)
        assert getattr(gif, "n_frames", 1) == 3  # the test poses, which have no photos


def test_training_and_validation_are_logged_alike(run_folder: Path):
    events = EventAccumulator(str(run_folder))
    events.Reload()
    steps = [event.step for event in events.Scalars("val/psnr_pixels")]
    assert steps[-2:] == [19, 39]
    loss = events.Scalars("val/loss")[-1].value
    psnr = events.Scalars("val/psnr_pixels")[-1].value
    assert psnr == pytest.approx(-10 * math.log10(loss), abs=1e-3)
    assert 0 < events.Scalars("train/psnr_whole_views")[0].value < 40
    # The mean over views of a convex function of their errors is not smaller; rounding to
    # 8 bits alone could make it so.
    assert events.Scalars("val/psnr")[-1].value >= psnr - 0.05


def test_record_says_what_was_done(run_folder: Path):
    record = json.loads((run_folder / "run.json").read_text())
    assert record["state"] == "finished"
    assert record["step"] == 40
    assert record["options"]["preset"] == "cs180"
    assert record["views"] == {"train": 8, "val": 2, "test": 3}
    assert record["versions"]["torch"] == torch.__version__
    assert record["seconds"] > 0
    assert np.asarray(Image.open(run_folder / "photos.png")).std() > 0
