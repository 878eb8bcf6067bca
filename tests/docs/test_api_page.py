"""docs/api.md and the README: their examples run, and give what they say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.docs.page import DOCS, blocks, run
from tests.scenes import write_blender

FIRST, CAMERA = blocks(DOCS / "api.md", "python")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with ckpts/pig/last.ckpt of a scene of 20x20 pixels."""
    folder = tmp_path_factory.mktemp("trained")
    write_blender(folder / "pig", size=20, train=4)
    words = ("--model", "voxels", "--root_dir", "pig", "--exp_name", "pig")
    small = ("--resolution", "16", "--max_steps", "20")
    done = run(folder, "python", str(ROOT / "train.py"), *words, *small)
    assert done.returncode == 0, done.stderr
    return folder


def execute(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the code leaves, run in a folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_five_lines_render_a_view(trained: Path, monkeypatch: pytest.MonkeyPatch):
    assert len([line for line in FIRST.splitlines() if line.strip()]) <= 5
    out = execute(FIRST, trained, monkeypatch)["out"]
    assert out.rgb.shape == (20, 20, 3)
    assert out.depth.shape == out.opacity.shape == (20, 20)
    assert 0 <= float(out.rgb.min()) <= float(out.rgb.max()) <= 1


def test_a_camera_of_one_s_own(trained: Path, monkeypatch: pytest.MonkeyPatch):
    view = execute(FIRST + CAMERA, trained, monkeypatch)["view"]
    assert view.rgb.shape == (240, 320, 3)


def test_the_readme_has_the_same_example(trained: Path, monkeypatch: pytest.MonkeyPatch):
    (code,) = blocks(ROOT / "README.md", "python")
    out = execute(code, trained, monkeypatch)["out"]
    assert out.depth.shape == (20, 20)
