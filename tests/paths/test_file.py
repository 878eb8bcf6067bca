"""Path files: ours read back, nerfstudio's and transforms.json, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import UserError
from geometry.poses import apply
from paths.file import path_json
from paths.path import PathConfig
from paths.plan import plan_path
from tests.paths.made import ring, scene_of

TO_INPUT = np.array([[0, -2.0, 0, 5], [2, 0, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1]])


@pytest.fixture
def scene():
    return scene_of(ring(np.arange(0, 360, 20.0), 10.0), (480, 640), to_input=TO_INPUT)


def read(scene, content, tmp_path: Path):
    file = tmp_path / "path.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return plan_path(scene, PathConfig(str(file))).cameras


def test_a_path_is_read_back_as_it_was(scene, tmp_path):
    path = plan_path(scene, PathConfig(n_frames=12))
    text = path_json(path.cameras, scene.to_input, fps=30)
    again = read(scene, text, tmp_path)
    np.testing.assert_allclose(again.c2w, path.cameras.c2w, atol=1e-5)
    np.testing.assert_allclose(again.intrinsics, path.cameras.intrinsics, rtol=1e-5)
    assert again.size.tolist() == path.cameras.size.tolist()


def test_the_file_is_nerfstudios_in_the_inputs_coordinates(scene):
    path = plan_path(scene, PathConfig(n_frames=12))
    content = json.loads(path_json(path.cameras, scene.to_input, fps=24))
    assert content["camera_type"] == "perspective"
    assert (content["render_width"], content["render_height"]) == (480, 640)
    assert (content["fps"], content["seconds"]) == (24, 0.5)
    frame = content["camera_path"][3]
    assert frame["aspect"] == pytest.approx(0.75)
    assert frame["fov"] == pytest.approx(60)  # the vertical one, along the longer side here
    matrix = np.array(frame["camera_to_world"]).reshape(4, 4)
    pose = path.cameras.c2w[3].double().numpy()
    np.testing.assert_allclose(matrix[:3, 3], TO_INPUT[:3, :3] @ pose[:, 3] + [5, 6, 7], atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(matrix[:3, :3]), 1, atol=1e-5)


@pytest.mark.parametrize("form", ["transforms", "nerfstudio"])
def test_a_file_is_in_the_inputs_coordinates(scene, tmp_path, form):
    wanted = ring(np.array([0.0, 40, 80]), 20.0, 5.0)
    matrices = [np.vstack([pose, [0, 0, 0, 1]]) for pose in wanted]
    content: dict[str, Any]
    if form == "transforms":
        content = {"frames": [{"transform_matrix": m.tolist()} for m in matrices]}
    else:
        listed = [{"camera_to_world": m.reshape(-1).tolist()} for m in matrices]
        content = {"camera_path": listed}
    cameras = read(scene, content, tmp_path)
    poses = cameras.c2w.double().numpy()
    np.testing.assert_allclose(apply(TO_INPUT, poses), wanted, atol=1e-5)
    np.testing.assert_allclose(cameras.intrinsics, scene.cameras.intrinsics[:3])


def test_a_files_own_lens_is_kept(scene, tmp_path):
    matrix = np.eye(4).reshape(-1).tolist()
    content: dict[str, Any] = {"camera_path": [{"camera_to_world": matrix, "fov": 90.0}]}
    cameras = read(scene, content, tmp_path)
    assert cameras.intrinsics[0].tolist() == pytest.approx([320, 320, 240, 320])
    content |= {"render_width": 800, "render_height": 400}
    cameras = read(scene, content, tmp_path)
    assert cameras.size.tolist() == [[800, 400]]
    assert cameras.intrinsics[0].tolist() == pytest.approx([200, 200, 400, 200])
    frame = {"transform_matrix": np.eye(4).tolist()}
    cameras = read(scene, {"frames": [frame], "fl_x": 500, "w": 1000}, tmp_path)
    assert cameras.intrinsics[0, 0].item() == pytest.approx(240)
    cameras = read(scene, {"frames": [frame], "camera_angle_x": np.pi / 2}, tmp_path)
    assert cameras.intrinsics[0, 0].item() == pytest.approx(240)


NAN = [float("nan")] * 16
ONE = np.eye(4).reshape(-1).tolist()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("{", "not a JSON"),
        ("[]", "needs"),
        ("{}", "needs"),
        ('{"frames": []}', "no camera"),
        ('{"frames": 3}', "needs"),
        ({"camera_path": [{"camera_to_world": ONE[:6]}]}, "needs|4x4"),
        ({"camera_path": [{"camera_to_world": NAN}]}, "NaN"),
        ({"camera_path": [{"camera_to_world": [3 * v for v in ONE]}]}, "not a rotation"),
        ({"camera_path": [{"camera_to_world": ONE, "fov": 0}]}, "field of view"),
        ({"camera_path": [{"camera_to_world": ONE, "fov": "wide"}]}, "needs"),
        (
            {"camera_path": [{"camera_to_world": ONE}], "render_width": 0, "render_height": 9},
            "0 x 9",
        ),
    ],
)
def test_mistakes_in_a_path_file(scene, tmp_path, content, words):
    path = tmp_path / "path.json"
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=words) as error:
        plan_path(scene, PathConfig(str(path)))
    assert "\n" not in str(error.value)
    assert "path.json" in str(error.value)
