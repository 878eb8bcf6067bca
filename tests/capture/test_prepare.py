"""Photos to a scene, whole: poses against the true ones, every format read back, resumed runs."""

from __future__ import annotations

import errno
import json
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image

import prepare
from capture import pipeline
from capture.input.photos import load_rgb
from capture.solve import features
from capture.steps import Steps, forget, is_of_damage, own
from datasets import load_scene
from datasets.config import SceneConfig
from datasets.sparse.model import read_model, registered, visible_points
from errors import UserError
from opt import parse_training
from tests.capture_scene import (
    COUNT,
    FOCAL,
    PLACE,
    pose_errors,
    run,
    sideways,
    take_photos,
    world_poses,
)


@pytest.mark.parametrize("name", ["llff", "transforms", "colmap"])
def test_poses_are_the_true_ones(solved, name):
    _, root, poses, report = solved
    assert report["placed"] == len(poses)
    scene = load_scene(SceneConfig(root_dir=str(root), dataset_name=name))
    centre, angle = pose_errors(world_poses(scene), poses)
    assert centre < 0.5
    assert angle < 0.3
    focal = scene.cameras.intrinsics[:, :2].numpy()
    np.testing.assert_allclose(focal, FOCAL, rtol=0.02)
    assert scene.photos([0]).image(0).shape[:2] == tuple(scene.cameras.size[0].tolist()[::-1])


def test_scene_is_upright_centred_and_in_scale(solved):
    _, root, _, report = solved
    assert report["capture"] == "surround"
    assert report["up_from"] == "plane"
    scene = load_scene(SceneConfig(root_dir=str(root), dataset_name="transforms"))
    poses = world_poses(scene)
    assert np.linalg.norm(poses[:, :, 3], axis=1).mean() == pytest.approx(1.0, abs=0.01)
    # The floor is level: the points at its height have one z.
    points = np.array([p.xyz for p in read_model(root).points3D.values()])
    low = np.percentile(points[:, 2], 5)
    floor = points[np.abs(points[:, 2] - low) < 0.05]
    tilt = np.linalg.lstsq(np.c_[floor[:, :2], np.ones(len(floor))], floor[:, 2], rcond=None)[0]
    assert np.degrees(np.abs(tilt[:2])).max() < 0.5
    assert scene.up == (0.0, 0.0, 1.0)
    assert not scene.forward_facing
    back = np.array(report["colmap_from_scene"]) @ np.array(report["scene_from_colmap"])
    np.testing.assert_allclose(back, np.eye(4), atol=1e-9)


def test_sparse_model_fits_the_undistorted_photos(solved):
    _, root, _, _ = solved
    model = pycolmap.Reconstruction(root / "sparse" / "0")
    errors = []
    for image in registered(model):
        camera = model.cameras[image.camera_id]
        with Image.open(root / "images" / image.name) as photo:
            assert photo.size == (camera.width, camera.height)
            assert not photo.getexif()
        assert camera.model_name == "PINHOLE"
        for point in image.get_observation_points2D():
            shown = image.project_point(model.points3D[point.point3D_id].xyz)
            assert shown is not None
            errors.append(np.linalg.norm(shown - point.xy))
    assert np.median(errors) < 1.0
    with pycolmap.Database.open(root / "database.db") as database:
        assert database.num_images() == COUNT
        assert database.num_verified_image_pairs() > COUNT


def test_lens_is_straightened(solved, tmp_path):
    """A photo of the prepared scene is what a pinhole at the true pose sees."""
    _, root, poses, _ = solved
    scene = load_scene(SceneConfig(root_dir=str(root), dataset_name="colmap"))
    size = tuple(scene.cameras.size[3].tolist())
    take_photos(tmp_path / "ideal", poses[3:4], size, float(scene.cameras.intrinsics[3, 0]))
    ideal = load_rgb(tmp_path / "ideal" / "00.jpg").astype(float)
    ours = load_rgb(root / "images" / "03.jpg").astype(float)
    shift, _ = cv2.phaseCorrelate(ideal.mean(-1), ours.mean(-1))
    assert np.abs(shift).max() < 1.0
    middle = np.s_[20:-20, 20:-20]
    assert np.abs(ideal - ours)[middle].mean() < 12


def test_bounds_are_percentiles_of_the_visible_depths(solved):
    _, root, _, _ = solved
    table = np.load(root / "poses_bounds.npy")
    assert table.shape == (COUNT, 17)
    assert table.dtype == np.float64
    model = read_model(root)
    for row, image in zip(table, registered(model), strict=True):
        block = row[:15].reshape(3, 5)
        depth = (visible_points(model, image) - block[:, 3]) @ -block[:, 2]
        np.testing.assert_allclose(row[15:], np.percentile(depth, [0.1, 99.9]), rtol=1e-6)
        camera = model.cameras[image.camera_id]
        np.testing.assert_allclose(block[:2, 4], (camera.height, camera.width))


def test_report_and_pictures(solved):
    _, root, _, report = solved
    written = json.loads((root / "capture_report.json").read_text())
    assert written.pop("command").startswith("python ")
    assert written == report
    for name in ("cameras.png", "contact_sheet.png"):
        with Image.open(root / name) as picture:
            colors = picture.convert("RGB").getcolors(10**7) or []
        assert len(colors) > 500


def count_calls(monkeypatch, name: str) -> list[int]:
    """A list that grows by every call of a function of capture.solve.features."""
    calls: list[int] = []
    function = getattr(features, name)

    def counted(*args):
        calls.append(1)
        return function(*args)

    monkeypatch.setattr(features, name, counted)
    return calls


def test_a_finished_run_is_not_repeated_and_a_changed_one_is(solved, tmp_path, monkeypatch):
    photos, root, _, _report = solved
    shutil.copytree(photos, tmp_path / "photos")
    shutil.copytree(root, tmp_path / "scene")
    calls = count_calls(monkeypatch, "extract")
    first = run(tmp_path / "photos", tmp_path / "scene")
    assert first["placed"] == COUNT
    assert not calls
    before = (tmp_path / "scene" / "poses_bounds.npy").stat().st_mtime_ns
    run(tmp_path / "photos", tmp_path / "scene")
    assert (tmp_path / "scene" / "poses_bounds.npy").stat().st_mtime_ns == before
    (tmp_path / "scene" / "transforms.json").unlink()
    run(tmp_path / "photos", tmp_path / "scene")
    assert (tmp_path / "scene" / "transforms.json").exists()
    assert not calls
    (tmp_path / "photos" / "19.jpg").unlink()
    second = run(tmp_path / "photos", tmp_path / "scene")
    assert second["placed"] == COUNT - 1
    assert calls
    assert len(np.load(tmp_path / "scene" / "poses_bounds.npy")) == COUNT - 1
    assert len(list((tmp_path / "scene" / "images").iterdir())) == COUNT - 1


def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    photos = take_photos(tmp_path / "photos", sideways(5), (320, 240), 320, faces=PLACE)
    match = features.match

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(features, "match", stop)
    with pytest.raises(KeyboardInterrupt):
        run(photos, tmp_path / "scene")
    assert not (tmp_path / "scene" / "images").exists()
    calls = count_calls(monkeypatch, "extract")
    monkeypatch.setattr(features, "match", match)
    report = run(photos, tmp_path / "scene")
    assert report["placed"] == 5
    assert report["capture"] == "forward-facing"
    assert not calls
    scene = load_scene(SceneConfig(root_dir=str(tmp_path / "scene"), dataset_name="llff"))
    assert scene.forward_facing


@pytest.mark.parametrize("damaged", ["images/02.jpg", "*/*/0/points3D.bin"])
def test_a_run_whose_state_is_damaged_begins_again(stopped, tmp_path, capsys, damaged):
    photos, scene = (shutil.copytree(path, tmp_path / path.name) for path in stopped)
    (path,) = (scene / ".prepare").glob(damaged)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_stamp", lambda path: [path.name])  # the copies are as old
        assert run(photos, scene)["placed"] == 5
    assert "damaged; starting again" in capsys.readouterr().out


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> tuple[Path, Path]:
    """Photos, and the folder of a run that was stopped before it wrote a scene."""

    def stop(*_):
        raise KeyboardInterrupt

    folder = tmp_path_factory.mktemp("stopped")
    photos = take_photos(folder / "photos", sideways(5), (320, 240), 320, faces=PLACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_stamp", lambda path: [path.name])
        patch.setattr(pipeline, "color_drift", stop)
        with pytest.raises(KeyboardInterrupt):
            run(photos, folder / "scene")
    return photos, folder / "scene"


def test_what_is_no_damage_throws_nothing_away(tmp_path):
    own(Steps(tmp_path))
    inside = tmp_path / "images/a.jpg"
    assert is_of_damage(FileNotFoundError(2, "gone", str(inside)), tmp_path)
    assert is_of_damage(OSError("broken data"), tmp_path)
    for error in (
        UserError("5 photos are too few"),
        OSError(errno.ENOSPC, "no room", str(inside)),
        FileNotFoundError(2, "gone", str(tmp_path.parent / "photos/a.jpg")),
        MemoryError(),
    ):
        assert not is_of_damage(error, tmp_path)
    (tmp_path / "images").mkdir()
    forget(tmp_path)
    assert not (tmp_path / "images").exists()
    assert "owner" in Steps(tmp_path).entries


def test_global_mapper(solved, tmp_path, monkeypatch):
    """Features and matches of an earlier run are used again."""
    photos, root, poses, _ = solved
    shutil.copytree(root, tmp_path / "scene")
    monkeypatch.setattr(features, "match", None)
    assert run(photos, tmp_path / "scene", mapper="global")["placed"] == COUNT
    scene = load_scene(SceneConfig(root_dir=str(tmp_path / "scene"), dataset_name="colmap"))
    centre, angle = pose_errors(world_poses(scene), poses)
    assert centre < 1.0
    assert angle < 0.5


def test_a_thorough_try_follows_a_quick_one_that_loses_photos(tmp_path, monkeypatch, capsys):
    poses = sideways(6)
    photos = take_photos(tmp_path / "photos", poses, (320, 240), 320, faces=PLACE)
    monkeypatch.setattr("capture.solve.solve.QUICK", replace(features.QUICK, features=20))
    report = run(photos, tmp_path / "scene")
    assert "trying again" in capsys.readouterr().out
    assert report["solver"]["try"] == "thorough"
    assert report["placed"] == 6


def test_masks_reach_training(tmp_path):
    """A mask leaves pixels out; a transparent photo stays transparent; both are undistorted."""
    photos = take_photos(tmp_path / "photos", sideways(5), (320, 240), 320, faces=PLACE)
    (photos / "masks").mkdir()
    for path in sorted(photos.glob("*.jpg"))[:4]:
        mask = np.zeros((240, 320), np.uint8)
        mask[:, 160:] = 255
        Image.fromarray(mask).save(photos / "masks" / f"{path.stem}.png")
    with Image.open(photos / "04.jpg") as image:
        clear = np.dstack([np.asarray(image), mask])
    Image.fromarray(clear).save(photos / "04.png")
    (photos / "04.jpg").unlink()
    assert run(photos, tmp_path / "scene")["placed"] == 5
    assert (tmp_path / "scene" / "images" / "04.png").exists()
    for name in ("llff", "transforms", "colmap"):
        scene = load_scene(SceneConfig(root_dir=str(tmp_path / "scene"), dataset_name=name))
        read = scene.photos([0, 4])
        kept = read.mask(0)
        assert kept is not None
        valid = kept.numpy()
        assert not valid[:, :150].any()
        assert valid[:, 170:].all()
        hidden = read.image(1).numpy()[:, :150]
        assert (hidden == (255 if scene.background == 1.0 else 0)).all()


def test_real_photos(shared_scene, tmp_path):
    """20 of 20, and where a published reconstruction has them."""
    fern = shared_scene("fern")
    report = run(fern / "images", tmp_path / "scene")
    assert report["placed"] == 20
    assert report["capture"] == "forward-facing"
    truth = world_poses(load_scene(SceneConfig(root_dir=str(fern), dataset_name="llff")))
    ours = load_scene(SceneConfig(root_dir=str(tmp_path / "scene"), dataset_name="llff"))
    centre, angle = pose_errors(world_poses(ours), truth)
    assert centre < 0.5
    assert angle < 0.5


def test_steps_know_their_inputs(tmp_path):
    calls = []
    for inputs in (1, 1, 2, 2):
        steps = Steps(tmp_path)
        steps.run("a", inputs, lambda: calls.append(1))
    assert len(calls) == 2
    (tmp_path / "steps.json").write_text("{damaged")
    Steps(tmp_path).run("a", 2, lambda: calls.append(1))
    assert len(calls) == 3
    assert pipeline.WORK.startswith(".")


def test_the_command_that_it_advises_trains_the_fast_field(solved, monkeypatch, capsys):
    _, root, _, report = solved
    monkeypatch.setattr("prepare.prepare", lambda options: report)
    monkeypatch.setattr(sys, "argv", ["prepare.py", "--input", "photos", "--root_dir", str(root)])
    prepare.main()
    last = capsys.readouterr().out.strip().splitlines()[-1]
    _, _, script, *words = shlex.split(last)
    assert last.startswith("next: python train.py ")
    assert script == "train.py"
    options = parse_training(words)
    assert (options.model, options.root_dir) == ("voxels", str(root))
    assert options.exp_name == root.name
    assert options.max_time is not None
    assert load_scene(options).region is not None
