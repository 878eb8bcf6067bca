"""Names in files that somebody has sent lead to no other folder, and to no other machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from api import load
from capture.input.hdr import is_hdr
from capture.input.video import sharpest_frames
from errors import UserError
from exporting.web.page import _page
from reporting.run import _results_folder
from reporting.shown import shown_film
from tests.capture_scene import orbit, points_seen, run
from tests.helpers.commands import TINY
from tests.helpers.runs import command
from tests.scenes import write_blender

NAMES = ("../../a.jpg", "/tmp/b.jpg", "sub/../../c.jpg", "sub/d.jpg", "e.jpg")


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_names_of_a_colmap_model_stay_in_the_scene(tmp_path):
    sent = tmp_path / "deep/sent"
    (sent / "sparse/0").mkdir(parents=True)
    (sent / "images").mkdir()
    model = points_seen(orbit(len(NAMES)))
    for image, name in zip(model.images.values(), NAMES, strict=True):
        image.name = name
        photo = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(photo).save(sent / "images" / Path(name).name)
    model.write(sent / "sparse/0")
    before = content(tmp_path)
    report = run(sent, tmp_path / "deep/scene")
    assert report["placed"] == len(NAMES)
    after = content(tmp_path)
    assert {name for name in after.keys() - before.keys() if "deep/scene/" not in name} == set()
    assert all(after[name] == before[name] for name in before)
    assert not Path("/tmp/b.jpg").exists()
    assert len(list((tmp_path / "deep/scene/images").iterdir())) == len(NAMES)


def test_links_in_the_folder_of_unfinished_work_are_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "photos").mkdir()
    for name in ("scene", "other"):
        (tmp_path / name / ".prepare").mkdir(parents=True)
    (tmp_path / "scene/.prepare/images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "other/.prepare").rmdir()
    (tmp_path / "other/.prepare").symlink_to(tmp_path / "elsewhere")
    for name in ("scene", "other"):
        with pytest.raises(UserError, match=r"\.prepare.*leads elsewhere"):
            run(tmp_path / "photos", tmp_path / name)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_names_in_a_checkpoint_stay_in_the_results(tmp_path):
    write_blender(tmp_path / "work/ball")
    words = ("--root_dir", "ball", *TINY, "--max_steps", "1")
    command(tmp_path / "work", "train", *words)
    path = tmp_path / "work/ckpts/exp/last.ckpt"
    kept = torch.load(path, weights_only=True)
    kept["scene"]["name"] = "../../../out"
    torch.save(kept, path)
    assert load(path, "cpu").scene.name == "_.._.._out"
    for name in ("../out", "..\\out", "/tmp/out"):
        kept["hyper_parameters"]["exp_name"] = name
        torch.save(kept, path)
        with pytest.raises(UserError, match="--exp_name must be a plain folder name"):
            command(tmp_path / "work", "train", "--ckpt_path", "ckpts/exp/last.ckpt")
    kept["hyper_parameters"] |= {"exp_name": "exp", "dataset_name": "../.."}
    torch.save(kept, path)
    with pytest.raises(UserError, match=r"--dataset_name \.\./\.\.: not one of"):
        command(tmp_path / "work", "eval", "--ckpt_path", "ckpts/exp/last.ckpt", "--split", "path")


def test_a_record_points_to_no_folder_outside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").mkdir()
    (tmp_path / "results").mkdir()
    options = {"dataset_name": ".."}
    assert _results_folder({"options": options, "scene": "secret"}) is None
    for name in ("../secret", str(tmp_path / "secret")):
        assert _results_folder({"options": {"dataset_name": "."}, "scene": name}) is None


def test_a_list_of_addresses_is_no_video(tmp_path):
    """HLS playlists under a video's name are not followed to other machines."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        clip = tmp_path / "clip.mp4"
        clip.write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n"
        )
        with pytest.raises(UserError, match="not a readable video"):
            sharpest_frames(clip, tmp_path / "frames", 3, 400)
        assert not is_hdr(clip)
        os.truncate(clip, 2_000_000)  # large enough to be reduced
        with pytest.raises(UserError, match="ffmpeg could not"):
            shown_film(clip, tmp_path / "figures")
        with pytest.raises(TimeoutError):
            server.accept()


def test_markup_in_the_scene_s_name_is_not_run_by_the_page():
    script = "</script><script>alert(1)</script>"
    meta = {"title": script, "background": 1.0, "harmonics": None}
    page = _page(meta, b"", np.zeros((2, 2, 3), np.uint8))
    assert script not in page
    assert "<script>alert" not in page
