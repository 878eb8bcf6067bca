"""What users type wrong, and what they get: one line, exit code 2, nothing half-written."""

from __future__ import annotations

import importlib
import resource
import subprocess
import sys

import pytest
import torch

from errors import UserError, explain, run_command
from tests.conftest import ROOT
from tests.helpers.commands import TINY
from tests.helpers.runs import command
from tests.scenes import write_blender, write_npz


@pytest.mark.parametrize(
    ("script", "args", "words"),
    [
        ("train.py", ["--rot_dir", "x"], "Unrecognized options: --rot_dir"),
        ("train.py", ["--lr", "fast"], "--lr"),
        ("train.py", ["--optimizer", "ranger"], "'ranger'"),
        ("train.py", ["--batch_size", "0"], "--batch_size must be positive"),
        ("train.py", ["--N_emb_dir", "-1"], "--N_emb_dir must not be negative"),
        ("train.py", ["--near", "3", "--far", "2"], "--near 3.0 must be under --far 2.0"),
        ("train.py", ["--exp_name", "../x"], "--exp_name must be a plain folder name"),
        ("train.py", [], "--root_dir is missing"),
        ("train.py", ["--root_dir", "nowhere"], "nowhere: no such folder"),
        ("train.py", ["--root_dir", "ball", "--ckpt_path", "none.ckpt"], "no such checkpoint"),
        ("eval.py", [], "--ckpt_path"),
        ("eval.py", ["--ckpt_path", "none.ckpt"], "none.ckpt: no such checkpoint"),
        ("eval.py", ["--ckpt_path", "a", "--fps", "500"], "--fps must be at most 120"),
        ("eval.py", ["--ckpt_path", "a", "--split", "test", "--path", "orbit"], "--split path"),
        ("export.py", ["--ckpt_path", "a"], "say what to write: --web pig.html"),
        ("export.py", ["--ckpt_path", "a", "--web", "pig.png"], "the page's name ends in .html"),
        ("export.py", ["--ckpt_path", "a", "--web", "a.html", "--web_mb", "0"], "--web_mb must be"),
        ("export.py", ["--ckpt_path", "none.ckpt", "--web", "a.html"], "no such checkpoint"),
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
    command(tmp_path, "train", *args, *TINY)
    checkpoint = ("--ckpt_path", "ckpts/exp/last.ckpt")
    command(tmp_path, "eval", *checkpoint, "--split", "test")
    results = tmp_path / "results/npz/ball"
    assert (results / "test/ball.gif").is_file()
    assert len(list((results / "test").glob("0*.png"))) == 3
    assert not (results / "test/metrics.json").exists()
    command(tmp_path, "eval", *checkpoint, "--split", "val")
    assert (results / "val/metrics.json").is_file()


def test_only_what_a_user_can_mend_is_explained():
    assert explain(UserError("a")) == "a"
    assert "out of memory" in (explain(MemoryError()) or "")
    assert "out of memory" in (explain(RuntimeError("CUDA out of memory.")) or "")
    assert "No space left" in (explain(OSError(28, "x", "file")) or "")
    assert explain(ValueError("bug")) is None
