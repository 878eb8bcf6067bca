"""Poses from photos of a tag, against the cameras that the photos were made with."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from capture.config import PrepareConfig
from capture.input.files import find_sources
from capture.input.photos import load_rgb
from capture.pipeline import prepare, read_photos
from capture.solve import aruco
from capture.solve.aruco import calibrate, find_tags
from capture.solve.tag_frame import to_tag_frame
from capture.solve.tag_scene import make_tag_scene
from datasets import load_scene
from datasets.config import SceneConfig
from datasets.sparse.model import read_one
from errors import UserError
from geometry.poses import look_at
from tests.capture_scene import distort, pattern, world_poses

TAG, SIZE, FOCAL, K1 = 0.08, (640, 480), 620.0, 0.05


def tag_picture(table: str = "patterned", tag: bool = True) -> np.ndarray:
    """The printed sheet: tag 7 with its white border on a table, 4 tags wide."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    side = 240
    sheet = pattern(11, 4 * side) // 2 + 60
    if table == "plain":
        sheet[:] = 120
    if not tag:
        return sheet
    middle = slice(2 * side - 180, 2 * side + 180)
    sheet[middle, middle] = 255
    marker = cv2.aruco.generateImageMarker(dictionary, 7, side)
    sheet[2 * side - 120 : 2 * side + 120, 2 * side - 120 : 2 * side + 120] = marker[..., None]
    return sheet


def photograph_tag(pose: np.ndarray, table: str = "patterned", tag: bool = True) -> np.ndarray:
    """The sheet, warped by the camera's homography (supersampled) and distorted by its lens."""
    sheet, times = tag_picture(table, tag), 3
    size, focal, k1 = SIZE, FOCAL, K1
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


def photograph(folder: Path, table: str, without: tuple[int, ...] = ()) -> np.ndarray:
    """Photos of the tag in a folder; some before it was laid down. Returns their poses."""
    folder.mkdir()
    poses = tag_poses(16)
    for i, pose in enumerate(poses):
        image = photograph_tag(pose, table, i not in without)
        Image.fromarray(image).save(folder / f"{i:02d}.png")
    return poses


@dataclass(frozen=True)
class Prepared:
    """A prepared scene, its report, and the poses that its photos were made with."""

    root: Path
    report: dict[str, Any]
    poses: np.ndarray


@pytest.fixture(scope="module")
def by_features(tmp_path_factory) -> Prepared:
    """On a patterned table, where two photos do not show the tag."""
    folder = tmp_path_factory.mktemp("features")
    poses = photograph(folder / "photos", "patterned", without=(3, 10))
    return Prepared(folder / "scene", run(folder / "photos", folder / "scene"), poses)


def run(photos: Path, root: Path, **options) -> dict:
    return prepare(
        PrepareConfig(input=str(photos), root_dir=str(root), aruco=True, tag_size=TAG, **options)
    )


def check_poses(root: Path, poses: np.ndarray) -> None:
    """To 1 % of the distance and 0.5 degrees, without any alignment: the tag is the world."""
    distance = np.linalg.norm(poses[:, :, 3], axis=1)
    for name in ("transforms", "llff", "colmap"):
        scene = load_scene(SceneConfig(root_dir=str(root), dataset_name=name))
        found = world_poses(scene)
        error = np.linalg.norm(found[:, :, 3] - poses[:, :, 3], axis=1)
        assert (error / distance).max() < 0.01
        cosine = (np.einsum("nij,nij->n", found[:, :, :3], poses[:, :, :3]) - 1) / 2
        assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 0.5
        focal = scene.cameras.intrinsics[:, 0].numpy()
        np.testing.assert_allclose(focal, FOCAL, rtol=0.01)
    table = np.load(root / "poses_bounds.npy")
    assert (table[:, 15] < distance).all()
    assert (table[:, 16] > distance).all()


def test_features_place_photos_that_do_not_show_the_tag(by_features):
    """The tag gives the frame, and metres."""
    assert by_features.report["placed"] == 16
    assert by_features.report["solver"]["tag"] == 7
    assert by_features.report["solver"]["try"] != "aruco"
    check_poses(by_features.root, by_features.poses)


@pytest.mark.parametrize("calibrated", [False, True])
def test_the_tag_alone_places_photos_without_features(tmp_path, calibrated):
    poses = photograph(tmp_path / "photos", "plain", without=(3,))
    options = {"calibration": str(tmp_path / "photos")} if calibrated else {}
    report = run(tmp_path / "photos", tmp_path / "scene", **options)
    assert report["placed"] == 15
    assert (report["solver"]["try"], report["solver"]["tag"]) == ("aruco", 7)
    assert report["solver"]["calibration_error_px"] < 0.2
    assert "calibration" not in " ".join(report["advice"])
    verdicts = {row["photo"]: row["verdict"] for row in report["photos"]}
    assert "no tag seen" in verdicts["03.png"]
    check_poses(tmp_path / "scene", np.delete(poses, 3, axis=0))


def test_tags_that_the_model_contradicts_are_not_believed(by_features):
    """Corners that do not make a square in the solved model: the sheet was moved meanwhile."""
    model = read_one(by_features.root / "sparse" / "0")
    tags = {
        image.name: find_tags(np.asarray(Image.open(by_features.root / "images" / image.name)))
        for image in model.images.values()
    }
    same = copy.deepcopy(model)
    assert to_tag_frame(same, tags, TAG) == 7
    for before, after in zip(model.images.values(), same.images.values(), strict=True):
        moved = before.projection_center() - after.projection_center()
        assert np.linalg.norm(moved) < 0.005  # it lay in this frame
    shifted = {
        name: {7: corners[7] + [[0, 0], [0, 0], [0, 0], [60, 0]]}
        for name, corners in tags.items()
        if corners
    }
    assert to_tag_frame(model, shifted, TAG) is None
    assert to_tag_frame(model, {}, TAG) is None


def test_a_bad_calibration_is_said(tmp_path):
    """Photos of a tag on wavy paper: what to do comes first."""
    for name in ("photos", "calibration"):
        (tmp_path / name).mkdir()
        for i, pose in enumerate(tag_poses(6)):
            image = photograph_tag(pose, "plain")
            if name == "calibration":
                y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)
                wave = 2.5 * np.sin(x / 25 + i) + 2.5 * np.sin(y / 20 + 2 * i)
                image = cv2.remap(image, x + wave, y + wave, cv2.INTER_LINEAR)
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    work, root = tmp_path / "scene" / ".prepare", tmp_path / "scene"
    photos, _ = read_photos(find_sources(tmp_path / "photos"), work, 1600)
    tags = {photo.name: find_tags(load_rgb(work / "images" / photo.name)) for photo in photos}
    calibration = sorted((tmp_path / "calibration").iterdir())
    report = make_tag_scene(photos, [], root, work, TAG, tags, calibration)
    error = report["solver"]["calibration_error_px"]
    assert error > 0.6
    for said in (report, json.loads((root / "capture_report.json").read_text())):
        assert f"calibration is bad (error {error:.1f} pixels" in said["advice"][0]
        assert "from ten directions" in said["advice"][0]


def test_class_project_file(by_features):
    poses = by_features.poses
    with np.load(by_features.root / "scene.npz") as arrays:
        assert arrays["images_train"].shape == (14, *arrays["images_train"].shape[1:3], 3)
        assert arrays["images_train"].dtype == np.uint8
        assert arrays["c2ws_val"].shape == (2, 4, 4)
        assert arrays["c2ws_test"].shape == (60, 4, 4)
        width = arrays["images_train"].shape[2]
    root = str(by_features.root / "scene.npz")
    scene = load_scene(SceneConfig(root_dir=root, dataset_name="npz"))
    train = np.arange(16) % 8 != 0
    centres = scene.cameras.c2w[:, :, 3].numpy()
    np.testing.assert_allclose(centres[:14], poses[train, :, 3], atol=0.005)
    assert float(scene.cameras.intrinsics[0, 0]) == pytest.approx(FOCAL * width / 640, rel=0.05)
    assert scene.bounds.near < 0.4 < scene.bounds.far


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
    expected = aruco.tag_poses(camera, views[0][7], TAG)[0]
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
    got = aruco.tag_poses(camera, views[0][7], TAG)[0]
    np.testing.assert_allclose(got.rotation, expected.rotation, atol=1e-3)
    np.testing.assert_allclose(got.translation, expected.translation, atol=1e-4)


def test_options_go_together():
    with pytest.raises(UserError, match="--tag_size"):
        PrepareConfig(input="a", root_dir="b", aruco=True)
    with pytest.raises(UserError, match="go with --aruco"):
        PrepareConfig(input="a", root_dir="b", tag_size=0.1)
