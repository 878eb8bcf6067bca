"""What users get wrong: a line that says so, and nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import UserError
from tests.capture_scene import PLACE, orbit, run, sideways, take_photos
from tests.conftest import ROOT
from tests.fuzz.captures import model_binary, model_text


def test_damaged_files_are_named_and_skipped(tmp_path):
    photos = take_photos(tmp_path / "photos", sideways(5), (320, 240), 320, faces=PLACE)
    (photos / "text.jpg").write_text("no photo")
    (photos / "empty.JPG").write_bytes(b"")
    (photos / "cut.jpg").write_bytes((photos / "00.jpg").read_bytes()[:3000])
    Image.new("RGB", (1, 1)).save(photos / "dot.png")
    (photos / ".hidden.jpg").write_text("no photo")
    (photos / "00.xmp").write_text("sidecar")
    report = run(photos, tmp_path / "scene")
    assert report["placed"] == 5
    named = " ".join(report["skipped"])
    assert all(name in named for name in ("text.jpg", "empty.JPG", "cut.jpg", "dot.png"))
    assert len(report["skipped"]) == 4


def test_a_damaged_database_beside_a_model_is_left_out(tmp_path, capsys):
    model_binary(tmp_path)
    database = tmp_path / "database.db"
    database.write_bytes(database.read_bytes()[:50])
    assert run(tmp_path, tmp_path / "scene")["placed"] == 5
    assert f"{database}: left out" in capsys.readouterr().out
    assert not (tmp_path / "scene/database.db").exists()


def test_a_model_without_points_is_named(tmp_path):
    model_text(tmp_path)
    (tmp_path / "sparse/0/points3D.txt").write_text("")
    with pytest.raises(UserError, match=rf"{tmp_path}: the COLMAP model has no 3D points"):
        run(tmp_path, tmp_path / "scene")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "absent", "no such folder"),
        (lambda p: p, "empty"),
        (lambda p: _write(p / "notes.txt"), "neither a folder of photos nor a video"),
        (lambda p: _write(p / "clip.mp4"), "not a readable video"),
        (lambda p: _write(p / "a.jpg").parent, "0 photos are too few"),
        (lambda p: take_photos(p / "one", orbit(1)), "1 photo is too few"),
        (lambda p: take_photos(p / "same", np.repeat(orbit(1), 20, 0)), "only 1 different view"),
    ],
)
def test_hopeless_input_is_refused_in_words(tmp_path, make, words):
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match=words):
        run(make(tmp_path / "in"), tmp_path / "scene")
    assert not (tmp_path / "scene" / "images").exists()


def _write(path: Path) -> Path:
    path.write_text("nothing of the kind")
    return path


def test_unrelated_photos_stop_with_advice_and_a_sheet(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(4):
        plain = np.full((240, 320, 3), 225 + 5 * i, np.uint8)
        plain[:, : 20 * i] -= 20
        Image.fromarray(plain).save(folder / f"{i}.png")
    with pytest.raises(UserError, match="something patterned") as error:
        run(folder, tmp_path / "scene")
    assert "only 0 of 4 photos" in str(error.value)
    assert (tmp_path / "scene" / "contact_sheet.png").exists()
    assert not (tmp_path / "scene" / "images").exists()


def test_nothing_foreign_is_overwritten(tmp_path):
    photos = take_photos(tmp_path / "scene" / "images", sideways(3), (320, 240), 320)
    with pytest.raises(UserError, match="over its own input"):
        run(photos, tmp_path / "scene")
    with pytest.raises(UserError, match="over its own input"):
        run(tmp_path / "scene", tmp_path / "scene")
    with pytest.raises(UserError, match="not from this command"):
        run(take_photos(tmp_path / "photos", sideways(3)), tmp_path / "scene")
    assert len(list(photos.iterdir())) == 3


def test_command_line(tmp_path):
    """One line and exit code 2 for a mistake."""
    command = [
        sys.executable,
        str(ROOT / "prepare.py"),
        "--input",
        str(tmp_path / "no"),
        "--root_dir",
    ]
    done = subprocess.run([*command, str(tmp_path / "s")], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no such folder" in done.stderr
