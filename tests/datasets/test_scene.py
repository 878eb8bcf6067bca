"""What scenes of all formats share."""

from __future__ import annotations

import json

import pytest
import torch

from datasets.scene import Scene
from tests.helpers.ball_scenes import BALL_BEFORE, load
from tests.scenes import (
    forward_poses,
    write_llff,
)


def test_a_scene_survives_a_checkpoint(tmp_path):
    root = write_llff(tmp_path / "ball", forward_poses(9), centre=BALL_BEFORE)
    scene = load(root, "llff")
    again = Scene.from_dict(json.loads(json.dumps(scene.to_dict())))
    assert again.bounds == scene.bounds
    assert again.splits == scene.splits
    assert torch.equal(again.cameras.c2w, scene.cameras.c2w)
    assert again.units == pytest.approx(scene.units)


def test_real_scenes(shared_scene):
    fern = load(shared_scene("fern"), "llff", img_wh=(504, 378))
    assert fern.forward_facing
    assert len(fern.splits["test"]) == 3
    toy = load(shared_scene("toy"), "transforms")
    assert not toy.forward_facing
    assert toy.cameras.size[0].tolist() == [720, 1600]
