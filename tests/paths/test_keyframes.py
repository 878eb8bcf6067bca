"""Key frames: each is the frame at its time, in a file that eval.py reads as a path."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from errors import UserError
from paths.keyframes import KeyFrame, KeyPath, read_key_path
from paths.path import PathConfig
from paths.plan import plan_path
from tests.paths.made import ring, scene_of
from tests.paths.test_file import TO_INPUT

SIZE = (480, 640)


@pytest.fixture
def scene():
    return scene_of(ring(np.arange(0, 360, 20.0), 10.0), SIZE, to_input=TO_INPUT)


def keys(*angles: float) -> tuple[KeyFrame, ...]:
    fovs = (0.6, 1.0, 0.8, 0.7)
    poses = ring(np.array(angles), 20.0, 5.0)
    return tuple(KeyFrame(pose, fov) for pose, fov in zip(poses, fovs, strict=False))


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_saved_file_has_the_key_cameras_at_their_times(scene, tmp_path, loop, count):
    path = KeyPath(keys(0, 50, 120, 200)[:count], 4.0, loop)
    file = tmp_path / "path.json"
    file.write_text(path.to_json(scene, SIZE))
    cameras = plan_path(scene, PathConfig(str(file))).cameras  # as eval.py reads it
    legs = max(1, count if loop else count - 1)
    assert len(cameras) == 120 + (not loop and count > 1)
    for number, key in enumerate(path.keys):
        frame = round(number * 4.0 / legs * 30)
        np.testing.assert_allclose(cameras.c2w[frame], key.pose, atol=1e-4)
        focal = float(cameras.intrinsics[frame, 1])
        assert 2 * math.atan(0.5 * SIZE[1] / focal) == pytest.approx(key.fov, rel=1e-4)
    assert cameras.size[0].tolist() == list(SIZE)
    again = read_key_path(file, scene)
    assert (len(again.keys), again.loop) == (count, loop)
    assert again.seconds == pytest.approx(4.0, abs=0.04)
    for one, other in zip(again.keys, path.keys, strict=True):
        np.testing.assert_allclose(one.pose, other.pose, atol=1e-4)
        assert one.fov == pytest.approx(other.fov, rel=1e-4)


def test_a_loop_through_even_keys_of_a_ring_is_the_ring_and_smooth():
    poses = ring(np.arange(0, 360, 45.0), 10.0)
    path = KeyPath(tuple(KeyFrame(pose, 0.8) for pose in poses), 8.0)
    cameras = path.cameras(SIZE)
    positions = cameras.c2w[:, :, 3].double().numpy()
    true = ring(np.arange(240) * 360 / 240, 10.0)
    np.testing.assert_allclose(positions, true[:, :, 3], atol=0.02 * np.abs(true[:, :, 3]).max())
    step = np.linalg.norm(np.diff(positions, axis=0, append=positions[:1]), axis=1)
    assert step.max() < 1.1 * step.min()
    rotation = cameras.c2w[:, :, :3].double().numpy()
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (240, 1, 1)), atol=1e-5
    )


def test_a_path_of_another_program_gives_some_of_its_frames(scene, tmp_path):
    matrices = [
        np.vstack([pose, [0, 0, 0, 1]]).ravel().tolist() for pose in ring(np.arange(40.0), 9)
    ]
    content = {"camera_path": [{"camera_to_world": m, "fov": 50} for m in matrices]}
    content["keyframes"] = [{"matrix": "[1, 0]"}]
    file = tmp_path / "other.json"
    file.write_text(json.dumps(content))
    path = read_key_path(file, scene)
    assert len(path.keys) == 8
    assert path.keys[3].fov == pytest.approx(math.radians(50))
    file.write_text("[]")
    with pytest.raises(UserError, match=r"other\.json: needs"):
        read_key_path(file, scene)
