"""Camera paths: level, closed, looking at the subject; files in the input's coordinates."""

from __future__ import annotations

import json

import numpy as np
import pytest

from datasets import load_scene
from datasets.config import SceneConfig
from errors import UserError
from geometry.poses import apply, check_poses, look_at
from paths.kinds import interpolate, orbit, render_path
from tests.scenes import circle_poses, forward_poses, write_blender, write_llff


def path_poses(scene, kind, n_frames=12) -> np.ndarray:
    path = render_path(scene, kind, n_frames)
    assert len(path.cameras) == n_frames
    poses = path.cameras.c2w.double().numpy()
    check_poses(poses, [str(i) for i in range(n_frames)], "path")
    return poses


def test_look_at_by_hand():
    pose = look_at(np.array([0.0, -3, 0]), np.zeros(3), np.array([0.0, 0, 1]))
    expected = np.array([[1.0, 0, 0, 0], [0, 0, -1, -3], [0, 1, 0, 0]])
    np.testing.assert_allclose(pose, expected, atol=1e-12)


def test_orbit_is_the_circle_of_the_cameras():
    poses = orbit(circle_poses(16, radius=4, height=1.5), np.array([0.0, 0, 1]), 24)
    np.testing.assert_allclose(poses[:, 2, 3], 1.5, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(poses[:, :2, 3], axis=1), 4, atol=1e-4)
    np.testing.assert_allclose(poses[:, 2, 0], 0, atol=1e-9)  # the horizon is level
    steps = np.linalg.norm(np.diff(poses[:, :, 3], axis=0, append=poses[:1, :, 3]), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)  # even, the last one closes it


def test_interpolation_goes_through_the_cameras_and_closes():
    cameras = circle_poses(8)
    poses = interpolate(cameras, 40)
    for camera in cameras:
        assert np.abs(poses - camera).reshape(40, -1).max(1).min() < 1e-6
    steps = np.linalg.norm(np.diff(poses[:, :, 3], axis=0, append=poses[:1, :, 3]), axis=1)
    assert steps.max() < 2 * steps.min()


def test_spiral_stays_among_forward_facing_cameras(tmp_path):
    write_llff(tmp_path / "ball", forward_poses(9), centre=np.array([0.0, 0, -4]))
    scene = load_scene(SceneConfig(root_dir=str(tmp_path / "ball"), dataset_name="llff"))
    poses = path_poses(scene, None)
    cameras = scene.cameras.c2w.double().numpy()
    assert np.abs(poses[:, :2, 3]).max() <= 1.2 * np.abs(cameras[:, :2, 3]).max()
    assert (poses[:, 2, 2] > 0.8).all()  # they look down -z


@pytest.mark.parametrize("form", ["transforms", "nerfstudio"])
def test_a_file_is_in_the_inputs_coordinates(tmp_path, form):
    write_llff(tmp_path / "ball", circle_poses(12))
    scene = load_scene(SceneConfig(root_dir=str(tmp_path / "ball"), dataset_name="llff"))
    wanted = circle_poses(3, radius=3.0)
    matrices = [np.vstack([pose, [0, 0, 0, 1]]) for pose in wanted]
    if form == "transforms":
        content = {"frames": [{"transform_matrix": m.tolist()} for m in matrices]}
    else:
        content = {"camera_path": [{"camera_to_world": m.reshape(-1).tolist()} for m in matrices]}
    (tmp_path / "path.json").write_text(json.dumps(content))
    poses = path_poses(scene, str(tmp_path / "path.json"), 3)
    assert scene.to_input is not None
    np.testing.assert_allclose(apply(scene.to_input, poses), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no such file"), ("{", "not a JSON"), ("{}", "needs"), ('{"frames": []}', "no camera")],
)
def test_mistakes_in_a_path_file(tmp_path, content, words):
    scene = load_scene(SceneConfig(root_dir=str(write_blender(tmp_path / "ball"))))
    path = tmp_path / "path.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=words):
        render_path(scene, str(path), 3)
