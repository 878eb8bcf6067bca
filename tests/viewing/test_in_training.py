"""A page while a scene is trained: somebody who looks changes nothing of what is learned."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

import viewing.in_training
from tests.helpers.commands import TINY, weights
from tests.helpers.runs import command
from tests.scenes import write_blender
from viewing.cameras import eye_of
from viewing.page import Page
from viewing.panels.training import Curve, TrainingPanel
from viewing.visitor import Visitor

pictures: list[tuple[int, ...]] = []


class Visited(Page):
    """A page with a visitor, who looks from the first camera."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        client, eye = MagicMock(client_id=7), eye_of(self.train, 0)
        client.camera.wxyz, client.camera.position = np.array(eye.wxyz), np.array(eye.position)
        client.camera.fov, client.camera.aspect = eye.fov, eye.aspect
        client.scene.set_background_image = lambda picture, **_: pictures.append(picture.shape)
        visitor = self.visitors[7] = Visitor(client, self)
        self.curves[7] = TrainingPanel(MagicMock())
        visitor.changed()


@pytest.mark.parametrize(
    "options",
    [
        ("--model", "voxels", "--resolution", "16", "--max_steps", "20", "--val_rays", "64"),
        (*TINY, "--max_steps", "12"),
    ],
    ids=["voxels", "nerf"],
)
def test_the_weights_are_those_of_a_training_without_a_page(tmp_path, monkeypatch, options):
    write_blender(tmp_path / "ball")
    args = ("--root_dir", "ball", "--accelerator", "cpu", *options)
    command(tmp_path, "train", *args, "--exp_name", "plain")
    monkeypatch.setattr(viewing.in_training, "Page", Visited)
    monkeypatch.setattr(viewing.in_training, "_SHARE", 1e6)  # a picture after each step
    monkeypatch.setattr(viewing.in_training, "_SIZE", 160)
    pictures.clear()
    said = command(tmp_path, "train", *args, "--exp_name", "viewed", "--view")
    assert "shows the training" in said
    assert len(pictures) > 6
    assert {(160, 160, 3), (96, 96, 3)} <= set(pictures)  # coarse, then fine, then again
    plain, viewed = (weights(tmp_path / f"ckpts/{n}/last.ckpt") for n in ("plain", "viewed"))
    assert plain.keys() == viewed.keys()
    assert all(plain[name].equal(viewed[name]) for name in plain)


def test_a_long_curve_is_thinned_out_to_its_end():
    curve = Curve()
    for step in range(5000):
        curve.add(step, 10 + step / 1000)
    steps, values = curve.arrays()
    assert 250 < len(steps) <= 600
    assert steps[-1] == 4999
    assert (np.diff(steps) > 0).all()
    assert np.allclose(values, 10 + steps / 1000)
