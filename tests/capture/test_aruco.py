"""Poses from photos of a tag, against the cameras that the photos were made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from capture.config import PrepareConfig
from capture.pipeline import prepare
from capture.solve.aruco import calibrate, find_tags, solve_pose
from datasets import load_scene
from datasets.config import SceneConfig
from errors import UserError
from geometry.poses import look_at
from tests.capture_scene import distort, pattern, world_poses

TAG, SIZE, FOCAL, K1 = 0.08, (640, 480), 620.0, 0.05


def tag_picture() -> np.ndarray:
    """The printed sheet: tag 7 with its white border on a patterned table, 4 tags wide."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    side = 240
    sheet = pattern(11, 4 * side) // 2 + 60
    middle = slice(2 * side - 180, 2 * side + 180)
    sheet[middle, middle] = 255
    tag = cv2.aruco.generateImageMarker(dictionary, 7, side)
    sheet[2 * side - 120 : 2 * side + 120, 2 * side - 120 : 2 * side + 120] = tag[..., None]
    return sheet


def photograph_tag(pose: np.ndarray, size=SIZE, focal=FOCAL, k1=K1) -> np.ndarray:
    """The sheet, warped by the camera's homography (supersampled) and distorted by its lens."""
    sheet, times = tag_picture(), 3
    big = (size[0] * times, size[1] * times)
    matrix = np.diag([focal * times, focal * times, 1.0])
    matrix[:2, 2] = size[0] * times / 2 - 0.5, size[1] * times / 2 - 0.5
    rotation = (pose[:, :3] * [1, -1, -1]).T
    metres = TAG / 240  # a pixel of the sheet
    half = sheet.shape[0] / 2 - 0.5
    plane = np.array([[metres, 0, -half * metres], [0, -metres, half * metres], [0, 0, 0]])
    plane[:, 2] -= pose[:, 3]
    image = cv2.warpPerspective(sheet, matrix @ rotation @ plane, big, flags=cv2.INTER_LINEAR)
    return distort(cv2.resize(image, size, interpolation=cv2.INTER_AREA), focal, k1)


def tag_poses(count: int) -> np.ndarray:
    poses = []
    for i in range(count):
        angle, height = 2 * np.pi * i / count, (0.28, 0.2, 0.36)[i % 3]
        position = np.array([0.25 * np.cos(angle), 0.25 * np.sin(angle), height])
        aim = np.array([0.03 * np.cos(3 * i), 0.03 * np.sin(5 * i), 0])
        poses.append(look_at(position, aim, np.array([0.0, 0, 1])))
    return np.stack(poses)


@pytest.fixture(scope="module")
def tag_photos(tmp_path_factory) -> tuple[Path, np.ndarray]:
    folder = tmp_path_factory.mktemp("tag")
    poses = tag_poses(16)
    for i, pose in enumerate(poses):
        Image.fromarray(photograph_tag(pose)).save(folder / f"{i:02d}.png")
    return folder, poses


def run(photos: Path, root: Path, **options) -> dict:
    return prepare(
        PrepareConfig(input=str(photos), root_dir=str(root), aruco=True, tag_size=TAG, **options)
    )


@pytest.mark.parametrize("calibrated", [False, True])
def test_poses_in_metres(tag_photos, tmp_path, calibrated):
    """To 1 % of the distance and 0.5 degrees, without any alignment: the tag is the world."""
    photos, poses = tag_photos
    options = {"calibration": str(photos)} if calibrated else {}
    report = run(photos, tmp_path / "scene", **options)
    assert report["placed"] == 16
    assert report["solver"]["tag"] == 7
    for name in ("transforms", "llff", "colmap"):
        root = str(tmp_path / "scene")
        scene = load_scene(SceneConfig(root_dir=root, dataset_name=name))
        found = world_poses(scene)
        distance = np.linalg.norm(poses[:, :, 3], axis=1)
        error = np.linalg.norm(found[:, :, 3] - poses[:, :, 3], axis=1)
        assert (error / distance).max() < 0.01
        cosine = (np.einsum("nij,nij->n", found[:, :, :3], poses[:, :, :3]) - 1) / 2
        assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 0.5
        focal = scene.cameras.intrinsics[:, 0].numpy()
        np.testing.assert_allclose(focal, FOCAL, rtol=0.01)
    table = np.load(tmp_path / "scene" / "poses_bounds.npy")
    assert (table[:, 15] < distance.min()).all()
    assert (table[:, 16] > distance.max()).all()


def test_class_project_file(tag_photos, tmp_path):
    photos, poses = tag_photos
    run(photos, tmp_path / "scene")
    with np.load(tmp_path / "scene" / "scene.npz") as arrays:
        assert arrays["images_train"].shape == (14, *arrays["images_train"].shape[1:3], 3)
        assert arrays["images_train"].dtype == np.uint8
        assert arrays["c2ws_val"].shape == (2, 4, 4)
        assert arrays["c2ws_test"].shape == (60, 4, 4)
        width = arrays["images_train"].shape[2]
    root = str(tmp_path / "scene" / "scene.npz")
    scene = load_scene(SceneConfig(root_dir=root, dataset_name="npz"))
    train = np.arange(16) % 8 != 0
    centres = scene.cameras.c2w[:, :, 3].numpy()
    np.testing.assert_allclose(centres[:14], poses[train, :, 3], atol=0.005)
    assert float(scene.cameras.intrinsics[0, 0]) == pytest.approx(FOCAL * width / 640, rel=0.05)
    assert scene.bounds.near < 0.4 < scene.bounds.far


def test_photos_without_the_tag_are_named(tag_photos, tmp_path):
    photos, _ = tag_photos
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in sorted(photos.iterdir())[:6]:
        (folder / path.name).write_bytes(path.read_bytes())
    Image.fromarray(pattern(9, 640)[:480]).save(folder / "none.png")
    report = run(folder, tmp_path / "scene")
    assert report["placed"] == 6
    verdicts = {row["photo"]: row["verdict"] for row in report["photos"]}
    assert "no tag seen" in verdicts["none.png"]


def test_photos_of_no_tag_are_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(4):
        Image.fromarray(pattern(i, 300)).save(tmp_path / "photos" / f"{i}.png")
    with pytest.raises(UserError, match="no photo shows a tag"):
        run(tmp_path / "photos", tmp_path / "scene")


def test_a_closed_form_that_fails_is_stood_in_for(monkeypatch):
    """OpenCV's method for squares gave NaN now and then; the photo must not be lost."""
    poses = tag_poses(8)
    views = [find_tags(photograph_tag(pose)) for pose in poses]
    camera = calibrate(views, TAG, SIZE)
    expected = solve_pose(camera, views[0][7], TAG)
    solve: Any = cv2.solvePnPGeneric

    def fail(*args, flags, **kwargs):
        found = solve(*args, flags=flags, **kwargs)
        if flags == cv2.SOLVEPNP_IPPE_SQUARE:
            return (
                found[0],
                [r * np.nan for r in found[1]],
                [t * np.nan for t in found[2]],
                found[3],
            )
        return found

    monkeypatch.setattr(cv2, "solvePnPGeneric", fail)
    got = solve_pose(camera, views[0][7], TAG)
    assert expected is not None
    assert got is not None
    np.testing.assert_allclose(got.rotation, expected.rotation, atol=1e-3)
    np.testing.assert_allclose(got.translation, expected.translation, atol=1e-4)


def test_options_go_together():
    with pytest.raises(UserError, match="--tag_size"):
        PrepareConfig(input="a", root_dir="b", aruco=True)
    with pytest.raises(UserError, match="go with --aruco"):
        PrepareConfig(input="a", root_dir="b", tag_size=0.1)
