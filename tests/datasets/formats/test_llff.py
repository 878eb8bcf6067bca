"""LLFF's format: what is detected, sizes, bounds, and mistakes told by name."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from errors import UserError
from tests.helpers.ball_scenes import BALL_BEFORE, ball_agrees, input_poses, load
from tests.scenes import (
    circle_poses,
    forward_poses,
    write_llff,
)


def test_llff_forward_facing_is_detected(tmp_path):
    poses = forward_poses(10)
    scene = load(write_llff(tmp_path / "ball", poses, centre=BALL_BEFORE), "llff")
    assert scene.forward_facing
    assert scene.splits["test"] == [0, 8]
    assert len(scene.splits["train"]) == 8
    np.testing.assert_allclose(input_poses(scene), poses, atol=1e-5)
    # The near bound comes to lie at 4/3.
    assert scene.units * 4 / 3 == pytest.approx(2.5)


def test_llff_around_a_subject_is_detected(tmp_path):
    poses = circle_poses(16)
    scene = load(write_llff(tmp_path / "ball", poses), "llff", holdout=0)
    assert not scene.forward_facing
    assert scene.splits["test"] == []
    np.testing.assert_allclose(input_poses(scene), poses, atol=1e-5)
    assert scene.bounds.near * scene.units == pytest.approx(2.5)
    assert scene.bounds.far * scene.units == pytest.approx(7.0)
    assert scene.to_input is not None
    up = np.linalg.inv(scene.to_input[:3, :3]) @ [0, 0, 1]
    np.testing.assert_allclose(scene.up, up / np.linalg.norm(up), atol=1e-5)
    ball_agrees(scene, 3)


def test_llff_flag_overrides_the_detection(tmp_path):
    root = write_llff(tmp_path / "ball", forward_poses(9), centre=BALL_BEFORE)
    assert not load(root, "llff", spheric_poses=True).forward_facing
    ball_agrees(load(root, "llff", spheric_poses=True), 1, BALL_BEFORE)


@pytest.mark.parametrize(
    "hwf",
    [
        (24, 32, 30.0),  # the photos' own size
        (96, 128, 120.0),  # four times larger
        (32, 24, 30.0),  # H and W swapped
        (128, 96, 120.0),
    ],
)
def test_llff_intrinsics_fit_the_photos(tmp_path, hwf):
    scene = load(write_llff(tmp_path / "ball", circle_poses(9), hwf=hwf), "llff")
    torch.testing.assert_close(scene.cameras.intrinsics[0], torch.tensor([30.0, 30.0, 16.0, 12.0]))


@pytest.mark.parametrize("ending", [".jpg", ".JPG", ".png"])
def test_llff_photo_endings_and_other_files(tmp_path, ending):
    root = write_llff(tmp_path / "ball", circle_poses(9), ending=ending)
    (root / "images" / "notes.txt").write_text("hello")
    (root / "images" / "._image000.jpg").write_bytes(b"sidecar")
    assert len(load(root, "llff").frames) == 9


def test_llff_takes_reduced_photos(tmp_path):
    root = write_llff(tmp_path / "ball", circle_poses(9), hwf=(96, 128, 120.0))
    (root / "images").rename(root / "images_4")
    scene = load(root, "llff")
    assert scene.cameras.intrinsics[0, 0].item() == pytest.approx(30.0)


def test_llff_near_and_far_are_in_the_files_units(tmp_path):
    root = write_llff(tmp_path / "ball", circle_poses(9))
    scene = load(root, "llff", near=1.0, far=9.0)
    assert scene.bounds.near * scene.units == pytest.approx(1.0)
    assert scene.bounds.far * scene.units == pytest.approx(9.0)


def test_ndc_far_is_a_plane(tmp_path):
    root = write_llff(tmp_path / "ball", forward_poses(9), centre=BALL_BEFORE)
    scene = load(root, "llff", far=10.0)
    z = -1 / (1 - scene.bounds.far)  # of the NDC parameter t
    assert -z * scene.units == pytest.approx(10.0)


def _nan_pose(root):
    table = np.load(root / "poses_bounds.npy")
    table[3, 1] = np.nan
    np.save(root / "poses_bounds.npy", table)


def _skewed_pose(root):
    table = np.load(root / "poses_bounds.npy")
    table[3, 0] += 0.5
    np.save(root / "poses_bounds.npy", table)


def _near_past_far(root):
    table = np.load(root / "poses_bounds.npy")
    table[2, 15:] = [5, 4]
    np.save(root / "poses_bounds.npy", table)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: shutil.rmtree(root), ["no such folder"]),
        (lambda root: shutil.rmtree(root / "images"), ["images/"]),
        (lambda root: [p.unlink() for p in (root / "images").iterdir()], ["no images"]),
        (lambda root: (root / "images/image003.png").unlink(), ["8 images", "9", "image003.png"]),
        (lambda root: (root / "images/image003.png").write_bytes(b""), ["image003.png", "empty"]),
        (lambda root: (root / "images/image003.png").write_text("no"), ["image003.png"]),
        (lambda root: (root / "poses_bounds.npy").unlink(), ["poses_bounds.npy"]),
        (lambda root: (root / "poses_bounds.npy").write_bytes(b"junk"), ["poses_bounds.npy"]),
        (lambda root: np.save(root / "poses_bounds.npy", np.zeros((9, 15))), ["(9, 15)"]),
        (
            lambda root: np.save(root / "poses_bounds.npy", np.array([{}], dtype=object)),
            ["objects", "code"],
        ),
        (_nan_pose, ["image003.png", "NaN"]),
        (_skewed_pose, ["image003.png", "not a rotation"]),
        (_near_past_far, ["image002.png", "near 5", "far 4"]),
    ],
)
def test_mistakes_in_llff(tmp_path, spoil, words):
    root = write_llff(tmp_path / "ball", circle_poses(9))
    spoil(root)
    with pytest.raises(UserError) as caught:
        load(root, "llff").photos(list(range(9)))
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_photo_is_named(tmp_path):
    root = write_llff(tmp_path / "ball", circle_poses(9), ending=".jpg", size=(320, 240))
    path = root / "images/image004.jpg"
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(UserError, match=r"image004\.jpg"):
        load(root, "llff").photos(list(range(9)))
