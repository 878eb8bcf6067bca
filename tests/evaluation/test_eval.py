"""Evaluation of a run on a tiny scene: what eval.py writes, and where."""

from __future__ import annotations

import json
import os
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from errors import UserError
from tests.helpers.commands import TINY
from tests.helpers.runs import command
from tests.scenes import circle_poses, write_blender, write_llff


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With a scene, and runs of a few steps."""
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball")
    common = ("--root_dir", "ball", "--max_steps", "10", "--accelerator", "cpu")
    command(folder, "train", *common, *TINY, "--exp_name", "whole")
    command(folder, "train", *common, "--model", "voxels", "--exp_name", "voxels")
    return folder


def frames(path: Path) -> int:
    return sum(1 for _ in imageio.get_reader(path))  # type: ignore[attr-defined,misc]


def test_evaluation_needs_the_checkpoint_alone(folder):
    args = ("--ckpt_path", "ckpts/whole/last.ckpt", "--save_depth", "--n_frames", "2")
    output = command(folder, "eval", *args)
    results = folder / "results/blender/ball"
    report = json.loads((results / "test/metrics.json").read_text())
    assert [view["name"] for view in report["views"]] == [f"test/r_{i}.png" for i in range(3)]
    assert report["mean"]["psnr"] == pytest.approx(
        np.mean([view["psnr"] for view in report["views"]]), abs=1e-3
    )
    assert f"mean over 3 views: PSNR {report['mean']['psnr']:.2f} dB" in output
    # The figures are those of the saved images against the photos on white.
    for i, view in enumerate(report["views"]):
        photo = np.asarray(Image.open(folder / f"ball/test/r_{i}.png")).astype(float)
        photo = np.round(photo[..., :3] * photo[..., 3:] / 255 + 255 - photo[..., 3:])
        saved = np.asarray(Image.open(results / f"test/{i:03d}.png")).astype(float)
        assert view["psnr"] == pytest.approx(
            -10 * np.log10((((saved - photo) / 255) ** 2).mean()), abs=1e-3
        )
    assert (results / "test/depth_000.pfm").is_file()


def test_a_short_flight_comes_with_the_test_views(folder):
    args = ("--ckpt_path", "ckpts/voxels/last.ckpt", "--n_frames", "5", "--out_dir", "flown")
    command(folder, "eval", *args)
    results = folder / "flown"
    assert (results / "test/metrics.json").is_file()
    preview = results / "preview"
    with Image.open(preview / "ball.gif") as gif:
        assert gif.info["loop"] == 0
    assert frames(preview / "ball.mp4") == frames(preview / "ball.gif") == 5
    assert len(list(preview.glob("[0-9]*.png"))) == 5
    assert not (preview / "metrics.json").exists()
    assert not [path for path in results.rglob("*") if path.name.startswith(".")]


def test_exported_weights_render_the_path_where_the_data_is_gone(folder):
    command(
        *(folder, "eval", "--ckpt_path", "ckpts/whole/last.ckpt"),
        *("--export_weights", "portable/ball.ckpt"),
    )
    exported = folder / "portable/ball.ckpt"
    assert exported.stat().st_size < (folder / "ckpts/whole/last.ckpt").stat().st_size
    assert "optimizer_states" not in torch.load(exported, weights_only=True)
    away = folder / "away"
    away.mkdir()
    os.replace(exported, away / "ball.ckpt")
    output = command(away, "eval", "--ckpt_path", "ball.ckpt", "--n_frames", "4")
    assert "rendering the camera path of the checkpoint" in output
    (results,) = (away / "results/blender").iterdir()
    assert len(list((results / "path").glob("0*.png"))) == 4
    assert not list(away.rglob("metrics.json"))


@pytest.mark.parametrize("path", ["spiral", "orbit", "interp"])
def test_paths(folder, path):
    command(
        *(folder, "eval", "--ckpt_path", "ckpts/whole/last.ckpt", "--path", path),
        *("--n_frames", "3", "--img_wh", "20", "14", "--out_dir", f"out_{path}"),
    )
    image = np.asarray(Image.open(folder / f"out_{path}/path/000.png"))
    assert image.shape == (14, 20, 3)
    assert frames(folder / f"out_{path}/path/ball.mp4") == 3


@pytest.mark.parametrize("val_holdout", [0, 3])
def test_the_figures_say_whether_validation_saw_the_test_photos(folder, val_holdout):
    if not (folder / "place").exists():
        write_llff(folder / "place", circle_poses(12))
    name = f"held{val_holdout}"
    args = ("--root_dir", "place", "--dataset_name", "llff", "--val_holdout", str(val_holdout))
    output = command(folder, "train", *args, *TINY, "--max_steps", "2", "--exp_name", name)
    assert f"over all {4 if val_holdout else 2} views" in output
    checkpoint = ("--ckpt_path", f"ckpts/{name}/last.ckpt", "--out_dir", name)
    reports = {}
    for split in ("test", "val"):
        command(folder, "eval", *checkpoint, "--split", split)
        reports[split] = json.loads((folder / name / split / "metrics.json").read_text())
    assert reports["test"]["val_is_test"] == (val_holdout == 0)
    of_test, of_val = ({view["name"] for view in reports[split]["views"]} for split in reports)
    assert of_test == {"image000.png", "image008.png"}
    assert of_val == of_test if val_holdout == 0 else not (of_val & of_test)


def test_a_split_that_the_scene_does_not_have_is_refused(folder):
    write_llff(folder / "all", circle_poses(6))
    args = ("--root_dir", "all", "--dataset_name", "llff", "--holdout", "0")
    command(folder, "train", *args, *TINY, "--max_steps", "2", "--exp_name", "all")
    with pytest.raises(UserError, match="all has no test views; try --split path"):
        command(folder, "eval", "--ckpt_path", "ckpts/all/last.ckpt", "--split", "test")
