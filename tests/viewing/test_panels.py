"""What visitors set: boxes, photos over pictures, key frames and their file."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from errors import UserError
from geometry.crop import CropBox
from geometry.ndc import NDC
from geometry.rays import Bounds
from geometry.region import Region
from paths.path import PathConfig
from paths.plan import plan_path
from tests.paths.made import ring, scene_of
from tests.paths.test_file import TO_INPUT
from viewing.boxes import bounds_from, part_of, upright_box
from viewing.cameras import alike, camera_of, eye_of
from viewing.loop import RenderLoop
from viewing.panels.path import PathPanel, render_command
from viewing.pictures import photo_over

SIZE = (480, 640)


@pytest.fixture
def scene():
    scene = scene_of(ring(np.arange(0, 360, 20.0), 10.0), SIZE, to_input=TO_INPUT)
    return replace(scene, region=Region((0.1, 0.2, 0.3), (1.0, 1.0, 1.0)), up=(0.0, 0.6, 0.8))


def test_the_first_box_stands_upright_and_is_right_handed(scene):
    box = upright_box(scene)
    axes = np.array(box.axes)
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    assert np.allclose(axes[2], scene.up)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert (box.center, box.half) == ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))


def test_the_first_box_of_a_forward_facing_scene_is_before_the_cameras(scene):
    forward = replace(scene, bounds=Bounds(0.0, 1.0, NDC(1.5, 2.0, 0.8)))
    low, high = (upright_box(forward).corners().min(0), upright_box(forward).corners().max(0))
    assert low[2] == pytest.approx(-9 * 0.8)
    assert high[2] == pytest.approx(-0.8)


def test_an_object_is_seen_from_nearer_and_farther_than_photos_are(scene):
    scene = replace(scene, bounds=Bounds(2.0, 6.0), region=Region((0, 0, 0), (1.5, 1.5, 1.5)))
    near_far = [
        (bounds.near, bounds.far)
        for at in (4.0, 30.0, 1.0)
        for bounds in [bounds_from(scene, torch.tensor([0.0, 0.0, at]))]
    ]
    assert near_far == [(2.0, 6.0), (2.0, 31.5), (pytest.approx(0.03), 6.0)]
    around = replace(scene, region=Region((0, 0, 0), (1.5, 1.5, 1.5), unbounded=True))
    assert bounds_from(around, torch.tensor([0.0, 0.0, 30.0])) == scene.bounds


def test_a_part_of_a_box_lies_between_its_places():
    box = CropBox((1.0, 2.0, 3.0), (2.0, 1.0, 0.5), ((0, 1, 0), (-1, 0, 0), (0, 0, 1)))
    part = part_of(box, ((-1.0, 0.0), (-1.0, 1.0), (0.0, 3.0)))
    assert part.center == pytest.approx((1.0, 1.0, 3.75))
    assert part.half == pytest.approx((1.0, 1.0, 0.75))
    assert part_of(box, ((-1, 1),) * 3) == box


def test_a_photo_lies_over_the_middle_of_a_wider_picture():
    picture = np.full((40, 100, 3), 100, np.uint8)
    photo = np.full((80, 60, 3), 200, np.uint8)
    mixed = photo_over(picture, photo, 0.25)
    assert (mixed[:, 35:65] == 125).all()
    assert (mixed[:, :35] == 100).all()
    assert (mixed[:, 65:] == 100).all()
    narrow = photo_over(picture[:, :20], photo, 1.0)
    assert (narrow == 200).all()


def test_eyes_are_alike_whatever_their_windows(scene):
    one, other = eye_of(scene.cameras, 3), eye_of(scene.cameras, 4)
    assert alike(one, one._replace(aspect=2.0, wxyz=tuple(-w for w in one.wxyz)))
    assert not alike(one, other)


def test_a_task_is_done_where_pictures_are_rendered_and_its_error_told():
    where: list[threading.Thread] = []
    loop: RenderLoop[str] = RenderLoop(lambda *_: None, lambda error: None)
    task = loop.do(lambda: where.append(threading.current_thread()))
    failing = loop.do(lambda: 1 // 0)
    assert loop.step()
    assert loop.step()
    assert not loop.step()
    assert (task.result(), where) == (None, [threading.current_thread()])
    with pytest.raises(ZeroDivisionError):
        failing.result()
    late = loop.do(lambda: None)
    loop.stop()
    assert late.cancelled()
    assert loop.do(lambda: None).cancelled()


class Gui:
    """Controls that hold values, as viser's do."""

    def __getattr__(self, name: str) -> Any:
        def add(*args: Any, **more: Any) -> Any:
            return MagicMock(value=more.get("initial_value"))

        return add


@pytest.fixture
def panel(scene, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hall = SimpleNamespace(train=scene.cameras)
    visitor = MagicMock(hall=hall, crop=None)

    def try_to(action: Any) -> None:
        action()

    visitor.try_to = try_to
    shown: Any = SimpleNamespace(scene=scene, file=Path("ckpts/pig/last.ckpt"), saved_crop=None)
    return PathPanel(Gui(), visitor, shown)


def test_key_frames_are_set_moved_deleted_and_saved_for_eval(panel, scene, tmp_path, capsys):
    eyes = [eye_of(scene.cameras, number)._replace(aspect=1.7) for number in range(5)]
    for eye in eyes[:3]:
        panel.visitor.eye = eye
        panel._add()
    panel.visitor.eye = eyes[3]
    panel.number.value = "2"
    panel._move()
    panel.number.value = "1"
    panel._delete()
    panel.visitor.eye = eyes[4]
    panel.number.value = "1"
    panel._add()
    panel._show_command()
    assert capsys.readouterr().out.splitlines()[-1] == (
        "python eval.py --ckpt_path ckpts/pig/last.ckpt --split path --path path.json"
    )
    cameras = plan_path(scene, PathConfig(str(tmp_path / "path.json"))).cameras
    assert len(cameras) == 240
    for number, eye in enumerate((eyes[3], eyes[4], eyes[2])):
        expected = camera_of(eye, 640)
        assert torch.allclose(cameras.c2w[80 * number], expected.c2w[0], atol=1e-4)
        fov = json.loads((tmp_path / "path.json").read_text())["camera_path"][80 * number]["fov"]
        assert fov == pytest.approx(np.degrees(eye.fov), rel=1e-4)
    content = (tmp_path / "path.json").read_bytes()
    panel._set(replace(panel.path, keys=()))
    panel.load.value = SimpleNamespace(name="mine.json", content=content)
    panel._load()
    assert len(panel.path.keys) == 3
    panel.load.value = SimpleNamespace(name="mine.json", content=b"{}")
    with pytest.raises(UserError, match=r"^mine\.json: needs"):
        panel._load()


@pytest.mark.parametrize("name", ["../path.json", "path.txt", ".json", "a/b.json"])
def test_a_path_is_written_into_the_folder_alone(panel, scene, name):
    panel.visitor.eye = eye_of(scene.cameras, 0)
    panel._add()
    panel.name.value = name
    with pytest.raises(UserError, match=r"ends in \.json and has no folder"):
        panel._save()


def test_a_path_replaces_no_other_file(panel, scene, tmp_path):
    (tmp_path / "package.json").write_text('{"name": "mine"}')
    panel.visitor.eye = eye_of(scene.cameras, 0)
    panel._add()
    panel.name.value = "package.json"
    with pytest.raises(UserError, match="needs"):
        panel._save()
    assert (tmp_path / "package.json").read_text() == '{"name": "mine"}'


def test_the_command_quotes_names():
    command = render_command(Path("my runs/last.ckpt"), Path("path.json"))
    assert "'my runs/last.ckpt'" in command
