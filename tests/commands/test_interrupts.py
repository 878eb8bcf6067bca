"""Ctrl-C at any moment of a command: no traceback, exit code 130, nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from errors import run_command
from tests.capture_scene import SIZE, orbit, take_photos
from tests.conftest import ROOT
from tests.helpers.commands import TINY, weights
from tests.helpers.runs import command
from tests.scenes import write_blender
from writing.files import is_unfinished

SCRIPTS = sorted(p.name for p in ROOT.glob("*.py") if "\n    run_command(main" in p.read_text())
# Of the system, where Python's own handler is not at work; a shell shows both as 130.
CODES = (130, -signal.SIGINT)
TRAIN = ("train.py", "--root_dir", "ball", *TINY, "--max_steps", "100000")
EVAL = ("eval.py", "--ckpt_path", "ckpts/given/last.ckpt", "--accelerator", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With a scene, a checkpoint of it, and photos."""
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball")
    take_photos(folder / "photos", orbit(6), SIZE)
    command(folder, "train", "--root_dir", "ball", *TINY, "--max_steps", "2", "--exp_name", "given")
    return folder


def interrupt(folder: Path, words: tuple[str, ...], moment: Callable[[int], bool]) -> str:
    """Start a command, press Ctrl-C as soon as `moment` of its process holds; what it printed."""
    with (folder / "output.txt").open("w+") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / words[0]), *words[1:]],
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not moment(process.pid) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None, (folder / "output.txt").read_text()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: ffmpeg gets it, too
        code = process.wait(120)
        output.seek(0)
        text = output.read()
    assert code in CODES, text
    assert "Traceback" not in text
    assert "Error" not in text
    assert [path for path in folder.rglob(".*") if is_unfinished(path)] == []
    return text


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="tells what is imported by now")
@pytest.mark.parametrize("script", SCRIPTS)
def test_while_it_imports(tmp_path, script):
    def imports(process: int) -> bool:
        try:
            return "numpy" in Path(f"/proc/{process}/maps").read_text()
        except OSError:
            return False

    assert interrupt(tmp_path, (script, "--help"), imports) == ""
    assert [path.name for path in tmp_path.iterdir()] == ["output.txt"]


def test_while_it_trains(folder):
    def steps(_: int) -> bool:
        return (folder / "ckpts/steps/last.ckpt").exists()

    text = interrupt(folder, (*TRAIN, "--exp_name", "steps", "--val_every_steps", "5"), steps)
    assert "go on with: python train.py --ckpt_path ckpts/steps/last.ckpt" in text
    assert weights(folder / "ckpts/steps/last.ckpt")


def test_before_the_first_step(folder):
    def logs(_: int) -> bool:
        return (folder / "logs/before").exists()

    interrupt(folder, (*TRAIN, "--exp_name", "before"), logs)


@pytest.mark.parametrize("split", ["path", "test"])
def test_while_it_renders(folder, split):
    def renders(_: int) -> bool:
        return (folder / "out" / split / "000.png").exists()

    few = ("--n_frames", "60") if split == "path" else ("--img_wh", "400", "400")
    interrupt(folder, (*EVAL, "--split", split, "--out_dir", "out", *few), renders)


def test_while_it_solves(folder):
    def reads(_: int) -> bool:
        return (folder / "scene/.prepare/photos/steps.json").exists()

    interrupt(folder, ("prepare.py", "--input", "photos", "--root_dir", "scene"), reads)


def test_what_fails_because_of_it(capsys):
    """A library's own words for what Ctrl-C broke off."""

    def main() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("the pipe is broken") from error

    with pytest.raises(SystemExit) as stop:
        run_command(main)
    assert stop.value.code == 130
    assert capsys.readouterr().err == ""
