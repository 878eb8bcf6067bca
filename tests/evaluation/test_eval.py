"""Evaluation of a run on a tiny scene."""

from __future__ import annotations

import json
import os

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from tests.scenes import write_blender


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a scene of 10 steps an epoch, and a run of 25 steps."""
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball")
    log = run(
        *(folder, "train.py", "--root_dir", "ball", "--exp_name", "whole", "--max_steps", "25"),
        *("--val_every_steps", "10", *TINY),
    )
    return folder, log.stdout


def test_evaluation_needs_the_checkpoint_alone(trained):
    folder, _ = trained
    run(folder, "eval.py", "--ckpt_path", "ckpts/whole/last.ckpt", "--save_depth")
    results = folder / "results/blender/ball"
    report = json.loads((results / "metrics.json").read_text())
    assert [view["name"] for view in report["views"]] == [f"test/r_{i}.png" for i in range(3)]
    assert report["mean"]["psnr"] == pytest.approx(
        np.mean([view["psnr"] for view in report["views"]]), abs=1e-3
    )
    # The figures are those of the saved images against the photos on white.
    for i, view in enumerate(report["views"]):
        photo = np.asarray(Image.open(folder / f"ball/test/r_{i}.png")).astype(float)
        photo = np.round(photo[..., :3] * photo[..., 3:] / 255 + 255 - photo[..., 3:])
        saved = np.asarray(Image.open(results / f"{i:03d}.png")).astype(float)
        assert view["psnr"] == pytest.approx(
            -10 * np.log10((((saved - photo) / 255) ** 2).mean()), abs=1e-3
        )
    gif = imageio.get_reader(results / "ball.gif")
    assert len(gif) == 3
    with Image.open(results / "ball.gif") as image:
        assert image.info["loop"] == 0
        assert image.info["duration"] == 40
    assert sum(1 for _ in imageio.get_reader(results / "ball.mp4")) == 3  # type: ignore[attr-defined,misc]
    assert (results / "depth_000.pfm").is_file()
    assert not [path for path in results.iterdir() if path.name.startswith(".")]


def test_exported_weights_render_the_path_where_the_data_is_gone(trained):
    folder, _ = trained
    run(
        *(folder, "eval.py", "--ckpt_path", "ckpts/whole/last.ckpt"),
        *("--export_weights", "portable/ball.ckpt"),
    )
    exported = folder / "portable/ball.ckpt"
    assert exported.stat().st_size < (folder / "ckpts/whole/last.ckpt").stat().st_size
    assert "optimizer_states" not in torch.load(exported, weights_only=True)
    away = folder / "away"
    away.mkdir()
    os.replace(exported, away / "ball.ckpt")
    process = run(away, "eval.py", "--ckpt_path", "ball.ckpt", "--n_frames", "4")
    assert "rendering the camera path of the checkpoint" in process.stdout
    results = away / "results/blender/ball"
    assert len(list(results.glob("0*.png"))) == 4
    assert not (results / "metrics.json").exists()


@pytest.mark.parametrize("path", ["spiral", "orbit", "interp"])
def test_paths(trained, path):
    folder, _ = trained
    run(
        *(folder, "eval.py", "--ckpt_path", "ckpts/whole/last.ckpt", "--path", path),
        *("--n_frames", "3", "--img_wh", "20", "14", "--out_dir", f"out_{path}"),
    )
    image = np.asarray(Image.open(folder / f"out_{path}/000.png"))
    assert image.shape == (14, 20, 3)
