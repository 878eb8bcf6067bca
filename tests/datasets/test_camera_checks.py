"""Cameras that cannot be right are said or refused; those of real scenes are neither."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from datasets.lens import Lens
from datasets.sparse.model import registered
from errors import UserError
from tests.capture_scene import orbit, points_seen
from tests.datasets.test_people_files import FOCAL, change, write_transforms
from tests.helpers.ball_scenes import load
from tests.scenes import circle_poses, forward_poses, write_llff


@pytest.fixture
def ball(tmp_path):
    return write_transforms(tmp_path / "ball", circle_poses(9))


def said(capsys) -> str:
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, None),
        ({"fl_y": 1.2 * FOCAL}, None),
        ({"fl_y": 3 * FOCAL}, "focal lengths of 9 of 9 cameras differ between the axes (30 and 90"),
        ({"fl_x": 2.0, "fl_y": 2.0}, "hardly possible (a view of 166 degrees)"),
        ({"fl_x": 5000.0, "fl_y": 5000.0}, "hardly possible (a view of 0.367 degrees)"),
        ({"k1": -0.2}, None),
        ({"k1": -0.8}, "distortion of 9 of 9 lenses folds the photo"),
    ],
)
def test_lenses(ball, capsys, values, words):
    change(ball, lambda content: content.update(values))
    load(ball, "transforms")
    out = said(capsys)
    assert words in out if words else "solve the poses again" not in out


@pytest.mark.parametrize("k1", [-0.3, -0.6, -1.2])
def test_where_a_lens_folds(k1):
    """r (1 + k1 r^2) is largest, 2/3 r, at r = 1 / sqrt(-3 k1)."""
    focal = 300.0
    centre = (200.5, 150.5)
    matrix = np.array([[focal, 0, centre[0] - 0.5], [0, focal, centre[1] - 0.5], [0, 0, 1]])
    lens = Lens(matrix, np.array([k1, 0, 0, 0, 0]), matrix)
    largest = 2 / 3 / np.sqrt(-3 * k1)
    corner = np.hypot(200, 150) / focal
    assert lens.reach() == pytest.approx(min(1, largest / corner), abs=2e-3)
    assert Lens(matrix, np.array([-k1, 0, 0, 0, 0]), matrix).reach() == 1


def test_a_fisheye_lens_that_folds():
    """theta (1 + k1 theta^2), likewise."""
    matrix = np.array([[150.0, 0, 200], [0, 150.0, 150], [0, 0, 1]])
    for k1 in (-0.05, -0.2):
        lens = Lens(matrix, np.array([k1, 0, 0, 0]), matrix, fisheye=True)
        largest, corner = 2 / 3 / np.sqrt(-3 * k1), np.hypot(200, 150) / 150
        assert lens.reach() == pytest.approx(min(1, largest / corner), abs=2e-3)


def test_few_of_many_photos_with_a_pose(ball, capsys):
    load(ball, "transforms")
    assert "have a pose" not in said(capsys)
    for i in range(20):
        shutil.copy(ball / "images" / "00.png", ball / "images" / f"more{i}.png")
    load(ball, "transforms")
    assert "9 of 29 photos in images/ have a pose" in said(capsys)


def test_two_frames(tmp_path, capsys):
    load(write_transforms(tmp_path / "two", circle_poses(9)[:2]), "transforms", holdout=0)
    assert "2 photos are too few" in said(capsys)


@pytest.mark.parametrize("where", [(0.0, 0, 0), (1.0, 2, 3), (5e5, 4e6, 100)])
@pytest.mark.parametrize("jitter", [0.0, 1e-16])
def test_cameras_at_one_point_are_refused(tmp_path, where, jitter):
    poses = circle_poses(9)
    poses[:, :, 3] = np.array(where) * (1 + jitter * np.arange(9)[:, None])
    with pytest.raises(UserError, match="stand at one point"):
        load(write_transforms(tmp_path / "turn", poses), "transforms")


def test_a_scene_far_from_the_origin_has_room(tmp_path):
    poses = circle_poses(9)
    poses[:, :, 3] += (5e5, 4e6, 100)
    assert len(load(write_transforms(tmp_path / "far", poses), "transforms").cameras) == 9


def test_a_camera_that_hardly_moved(tmp_path, capsys):
    """Of a scene whose nearest distance is known."""
    poses = forward_poses(9)
    load(write_llff(tmp_path / "moved", poses), "llff")
    assert "too little motion" not in said(capsys)
    middle = poses[:, :, 3].mean(0)
    poses[:, :, 3] = middle + 0.01 * (poses[:, :, 3] - middle)
    load(write_llff(tmp_path / "still", poses), "llff", spheric_poses=False)
    assert "too little motion for depth" in said(capsys)


@pytest.mark.parametrize("binary", [True, False])
def test_photos_of_a_table_of_poses_that_were_renamed(tmp_path, capsys, binary):
    """The model beside it has their names from before."""
    root = write_llff(tmp_path / "ball", forward_poses(6))
    made = points_seen(orbit(6))
    for i, image in enumerate(registered(made)):
        image.name = f"image{i:03d}.JPG"
    (root / "sparse" / "0").mkdir(parents=True)
    (made.write if binary else made.write_text)(root / "sparse" / "0")
    load(root, "llff")
    assert "renamed" not in said(capsys)
    (root / "images" / "image003.png").rename(root / "images" / "holiday.png")
    load(root, "llff")
    out = said(capsys)
    assert "1 of 6 photos have other names than in the sparse model (holiday.png; there:" in out
    for path in (root / "sparse" / "0").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert len(load(root, "llff").cameras) == 6
