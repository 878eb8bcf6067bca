"""What users type wrong, and what they get: one line, exit code 2, nothing half-written."""

from __future__ import annotations

import importlib
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cli import parse, to_dict
from datasets.config import SceneConfig
from errors import UserError, explain, run_command
from opt import EvalOptions, TrainOptions, from_dict
from tests.conftest import ROOT
from tests.scenes import write_blender, write_npz
from tests.test_training import TINY, run


@pytest.mark.parametrize(
    ("script", "args", "words"),
    [
        ("train.py", ["--rot_dir", "x"], "Unrecognized options: --rot_dir"),
        ("train.py", ["--lr", "fast"], "--lr"),
        ("train.py", ["--optimizer", "ranger"], "'ranger'"),
        ("train.py", ["--batch_size", "0"], "--batch_size must be positive"),
        ("train.py", ["--near", "3", "--far", "2"], "--near 3.0 must be under --far 2.0"),
        ("train.py", ["--exp_name", "../x"], "--exp_name must be a plain folder name"),
        ("train.py", [], "--root_dir is missing"),
        ("train.py", ["--root_dir", "nowhere"], "nowhere: no such folder"),
        ("train.py", ["--root_dir", "ball", "--ckpt_path", "none.ckpt"], "no such checkpoint"),
        ("eval.py", [], "--ckpt_path"),
        ("eval.py", ["--ckpt_path", "none.ckpt"], "none.ckpt: no such checkpoint"),
        ("eval.py", ["--ckpt_path", "a", "--fps", "500"], "--fps must be at most 50"),
        ("eval.py", ["--ckpt_path", "a", "--split", "test", "--path", "orbit"], "--split path"),
    ],
)
def test_mistakes_on_the_command_line(tmp_path, monkeypatch, capsys, script, args, words):
    write_blender(tmp_path / "ball")
    line = refuse(tmp_path, monkeypatch, capsys, script, args)
    assert words in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ball"]


def refuse(folder, monkeypatch, capsys, script: str, args: list[str]) -> str:
    """Run a command that must end with exit code 2; returns the one line that it says."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [script, *args])
    main = importlib.import_module(script.removesuffix(".py")).main
    with pytest.raises(SystemExit) as stop:
        run_command(main)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("args", [["--accelerator", "gpu"], ["--num_gpus", "2"]])
def test_absent_gpus(tmp_path, monkeypatch, capsys, args):
    write_blender(tmp_path / "ball")
    assert "GPU" in refuse(tmp_path, monkeypatch, capsys, "train.py", ["--root_dir", "ball", *args])


def test_no_space_left_leaves_nothing_half_written(tmp_path):
    """A limit on the size of files stands for a full disk: both fail in the midst of a file."""
    write_blender(tmp_path / "ball")
    code = (
        "import resource, runpy, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"sys.argv = ['train.py', '--root_dir', 'ball', '--max_steps', '3', *{TINY!r}]\n"
        f"runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert process.returncode == 2, process.stderr
    assert "Traceback" not in process.stderr
    assert "File too large" in process.stderr.strip().splitlines()[-1]
    assert not list((tmp_path / "ckpts").rglob("*.ckpt"))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20000


def test_poses_without_photos_give_a_video_without_metrics(tmp_path):
    write_npz(tmp_path / "ball.npz")
    args = ["--root_dir", "ball.npz", "--dataset_name", "npz", "--max_steps", "2"]
    run(tmp_path, "train.py", *args, *TINY)
    checkpoint = ("--ckpt_path", "ckpts/exp/last.ckpt")
    run(tmp_path, "eval.py", *checkpoint)
    results = tmp_path / "results/npz/ball"
    assert (results / "ball.gif").is_file()
    assert len(list(results.glob("0*.png"))) == 3
    assert not (results / "metrics.json").exists()
    run(tmp_path, "eval.py", *checkpoint, "--split", "val")
    assert (results / "metrics.json").is_file()


# --- options ---------------------------------------------------------------------------------


def test_flags_of_nerf_pl_keep_their_meaning():
    options = parse(
        TrainOptions,
        [
            *("--root_dir", "x", "--dataset_name", "llff", "--img_wh", "504", "378"),
            *("--spheric_poses", "--N_samples", "32", "--N_importance", "64", "--use_disp"),
            *("--perturb", "0.5", "--noise_std", "0", "--loss_type", "mse", "--batch_size", "512"),
            *("--chunk", "1000", "--num_epochs", "3", "--num_gpus", "1", "--ckpt_path", "y"),
            *("--prefixes_to_ignore", "loss", "rgb", "--optimizer", "radam", "--lr", "1e-3"),
            *("--momentum", "0.8", "--weight_decay", "0.1", "--lr_scheduler", "poly"),
            *("--warmup_multiplier", "2", "--warmup_epochs", "1", "--decay_step", "2", "4", "8"),
            *("--decay_gamma", "0.5", "--poly_exp", "0.8", "--exp_name", "name"),
        ],
    )
    assert options.img_wh == (504, 378)
    assert options.spheric_poses is True
    assert options.use_disp is True
    assert options.prefixes_to_ignore == ("loss", "rgb")
    assert options.decay_step == (2, 4, 8)
    assert from_dict(TrainOptions, to_dict(options)) == options


@pytest.mark.parametrize(
    ("args", "state"),
    [([], None), (["--spheric_poses"], True), (["--spheric_poses", "False"], False)],
)
def test_a_switch_has_three_states(args, state):
    assert parse(TrainOptions, args).spheric_poses is state


def test_a_checkpoints_options_are_defaults():
    kept = TrainOptions(root_dir="a", lr=0.1)
    options = parse(TrainOptions, ["--root_dir", "b"], default=kept)
    assert (options.root_dir, options.lr) == ("b", 0.1)


def test_defaults_are_the_papers():
    options = TrainOptions()
    assert (options.N_samples, options.N_importance) == (64, 128)
    assert (options.netdepth, options.netwidth, options.netskip) == (8, 256, 4)
    assert EvalOptions(ckpt_path="x").split is None


def test_options_refuse_nonsense_where_they_are_made():
    with pytest.raises(UserError, match="--img_wh"):
        SceneConfig(img_wh=(0, 5))
    with pytest.raises(UserError, match="--holdout"):
        SceneConfig(holdout=1)


def test_only_what_a_user_can_mend_is_explained():
    assert explain(UserError("a")) == "a"
    assert "out of memory" in (explain(MemoryError()) or "")
    assert "out of memory" in (explain(RuntimeError("CUDA out of memory.")) or "")
    assert "No space left" in (explain(OSError(28, "x", "file")) or "")
    assert explain(ValueError("bug")) is None


def test_help_names_every_option():
    text = run(Path.cwd(), "train.py", "--help").stdout
    for name in to_dict(TrainOptions()):
        assert f"--{name}" in text
