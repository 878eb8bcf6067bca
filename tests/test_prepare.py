"""Photos to a scene, whole: poses against the true ones, every format read back, resumed runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image

from capture import features, pipeline, solve
from capture.pipeline import prepare
from capture.steps import Steps
from datasets import load_scene
from datasets.sparse import read_model, registered, visible_points
from errors import UserError
from opt import PrepareOptions, SceneOptions

from .capture_scene import (
    PLACE,
    orbit,
    points_seen,
    pose_errors,
    sideways,
    take_photos,
    world_poses,
)
from .conftest import ROOT

FOCAL, SIZE, K1, COUNT = 400.0, (400, 300), 0.06, 20


def run(source: Path, root: Path, **options) -> dict:
    return prepare(PrepareOptions(input=str(source), root_dir=str(root), **options))


@pytest.fixture(scope="module")
def solved(tmp_path_factory) -> tuple[Path, Path, np.ndarray, dict]:
    """An orbit with a distorting lens, prepared: photos, scene, true poses, report."""
    folder = tmp_path_factory.mktemp("orbit")
    poses = orbit(COUNT)
    take_photos(folder / "photos", poses, SIZE, FOCAL, K1)
    report = run(folder / "photos", folder / "scene")
    return folder / "photos", folder / "scene", poses, report


@pytest.mark.parametrize("name", ["llff", "transforms", "colmap"])
def test_poses_are_the_true_ones(solved, name):
    _, root, poses, report = solved
    assert report["placed"] == len(poses)
    scene = load_scene(SceneOptions(root_dir=str(root), dataset_name=name))
    centre, angle = pose_errors(world_poses(scene), poses)
    assert centre < 0.5
    assert angle < 0.3
    focal = scene.cameras.intrinsics[:, :2].numpy()
    np.testing.assert_allclose(focal, FOCAL, rtol=0.02)
    assert scene.photos([0]).image(0).shape[:2] == tuple(scene.cameras.size[0].tolist()[::-1])


def test_scene_is_upright_centred_and_in_scale(solved):
    _, root, _, report = solved
    assert report["capture"] == "360"
    assert report["up_from"] == "plane"
    scene = load_scene(SceneOptions(root_dir=str(root), dataset_name="transforms"))
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
        with Image.open(root / "images" / image.name) as photo:
            assert photo.size == (image.camera.width, image.camera.height)
            assert not photo.getexif()
        assert image.camera.model_name == "PINHOLE"
        for point in image.get_observation_points2D():
            shown = image.project_point(model.points3D[point.point3D_id].xyz)
            errors.append(np.linalg.norm(shown - point.xy))
    assert np.median(errors) < 1.0
    with pycolmap.Database.open(root / "database.db") as database:
        assert database.num_images() == COUNT
        assert database.num_verified_image_pairs() > COUNT


def test_lens_is_straightened(solved, tmp_path):
    """A photo of the prepared scene is what a pinhole at the true pose sees."""
    _, root, poses, _ = solved
    scene = load_scene(SceneOptions(root_dir=str(root), dataset_name="colmap"))
    size = tuple(scene.cameras.size[3].tolist())
    take_photos(tmp_path / "ideal", poses[3:4], size, float(scene.cameras.intrinsics[3, 0]))
    ideal = cv2.imread(str(tmp_path / "ideal" / "00.jpg")).astype(float)
    ours = cv2.imread(str(root / "images" / "03.jpg")).astype(float)
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
        np.testing.assert_allclose(block[:2, 4], (image.camera.height, image.camera.width))


def test_report_and_pictures(solved):
    _, root, _, report = solved
    assert json.loads((root / "capture_report.json").read_text()) == report
    for name in ("cameras.png", "contact_sheet.png"):
        with Image.open(root / name) as picture:
            colors = picture.convert("RGB").getcolors(10**7)
        assert len(colors) > 500


def test_a_finished_run_is_not_repeated_and_a_changed_one_is(solved, tmp_path, monkeypatch):
    photos, root, _, _report = solved
    shutil.copytree(photos, tmp_path / "photos")
    shutil.copytree(root, tmp_path / "scene")
    calls = []
    extract = features.extract
    monkeypatch.setattr(features, "extract", lambda *a: (calls.append(1), extract(*a)))
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
    match, extract = features.match, features.extract

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(features, "match", stop)
    with pytest.raises(KeyboardInterrupt):
        run(photos, tmp_path / "scene")
    assert not (tmp_path / "scene" / "images").exists()
    calls = []
    monkeypatch.setattr(features, "match", match)
    monkeypatch.setattr(features, "extract", lambda *a: (calls.append(1), extract(*a)))
    report = run(photos, tmp_path / "scene")
    assert report["placed"] == 5
    assert report["capture"] == "forward-facing"
    assert not calls
    scene = load_scene(SceneOptions(root_dir=str(tmp_path / "scene"), dataset_name="llff"))
    assert scene.forward_facing


def test_global_mapper(solved, tmp_path, monkeypatch):
    """Features and matches of an earlier run are used again."""
    photos, root, poses, _ = solved
    shutil.copytree(root, tmp_path / "scene")
    monkeypatch.setattr(features, "match", None)
    assert run(photos, tmp_path / "scene", mapper="global")["placed"] == COUNT
    scene = load_scene(SceneOptions(root_dir=str(tmp_path / "scene"), dataset_name="colmap"))
    centre, angle = pose_errors(world_poses(scene), poses)
    assert centre < 1.0
    assert angle < 0.5


def test_a_thorough_try_follows_a_quick_one_that_loses_photos(tmp_path, monkeypatch, capsys):
    poses = sideways(6)
    photos = take_photos(tmp_path / "photos", poses, (320, 240), 320, faces=PLACE)
    monkeypatch.setattr(solve, "QUICK", replace(solve.QUICK, features=20))
    report = run(photos, tmp_path / "scene")
    assert "trying again" in capsys.readouterr().out
    assert report["solver"]["try"] == "thorough"
    assert report["placed"] == 6


def test_damaged_files_are_named_and_skipped(tmp_path):
    photos = take_photos(tmp_path / "photos", sideways(5), (320, 240), 320, faces=PLACE)
    (photos / "text.jpg").write_text("no photo")
    (photos / "empty.JPG").write_bytes(b"")
    (photos / "cut.jpg").write_bytes((photos / "00.jpg").read_bytes()[:3000])
    Image.new("RGB", (1, 1)).save(photos / "dot.png")
    (photos / ".hidden.jpg").write_text("no photo")
    (photos / "00.xmp").write_text("sidecar")
    report = run(photos, tmp_path / "scene")
    assert report["placed"] == 5
    named = " ".join(report["skipped"])
    assert all(name in named for name in ("text.jpg", "empty.JPG", "cut.jpg", "dot.png"))
    assert len(report["skipped"]) == 4


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
        scene = load_scene(SceneOptions(root_dir=str(tmp_path / "scene"), dataset_name=name))
        read = scene.photos([0, 4])
        valid = read.mask(0).numpy()
        assert not valid[:, :150].any()
        assert valid[:, 170:].all()
        hidden = read.image(1).numpy()[:, :150]
        assert (hidden == (255 if scene.background == 1.0 else 0)).all()


def test_conversion_of_a_model_made_elsewhere(solved, tmp_path):
    """COLMAP's own folder, distorted cameras and a photo missing, without solving again."""
    photos, root, poses, _ = solved
    models = next((root / ".prepare").glob("quick-*/incremental"))
    shutil.copytree(models, tmp_path / "colmap" / "sparse")
    shutil.copytree(photos, tmp_path / "colmap" / "images")
    (tmp_path / "colmap" / "images" / "05.jpg").unlink()
    with pytest.raises(UserError, match=r"05\.jpg"):
        load_scene(SceneOptions(root_dir=str(tmp_path / "colmap"), dataset_name="colmap"))
    report = run(tmp_path / "colmap", tmp_path / "scene")
    assert report["placed"] == COUNT - 1
    assert "05.jpg" in report["skipped"][0]
    for name in ("llff", "transforms", "colmap"):
        scene = load_scene(SceneOptions(root_dir=str(tmp_path / "scene"), dataset_name=name))
        centre, angle = pose_errors(world_poses(scene), np.delete(poses, 5, axis=0))
        assert centre < 0.5
        assert angle < 0.3


def test_distorted_model_is_read_directly(solved, tmp_path):
    photos, root, poses, _ = solved
    models = next((root / ".prepare").glob("quick-*/incremental"))
    shutil.copytree(models, tmp_path / "sparse")
    shutil.copytree(photos, tmp_path / "images")
    scene = load_scene(SceneOptions(root_dir=str(tmp_path), dataset_name="colmap"))
    centre, angle = pose_errors(world_poses(scene), poses)
    assert centre < 0.5
    assert angle < 0.3
    assert scene.frames[0].lens is not None
    assert scene.bounds.near < 1.0 < scene.bounds.far


def test_the_largest_model_is_taken(solved, tmp_path):
    _, root, _, _ = solved
    whole = pycolmap.Reconstruction(root / "sparse" / "0")
    for image in registered(whole)[3:]:
        whole.deregister_frame(image.frame_id)
    for number in ("0", "1"):
        (tmp_path / "sparse" / number).mkdir(parents=True)
    whole.write(tmp_path / "sparse" / "0")
    shutil.copytree(root / "sparse" / "0", tmp_path / "sparse" / "1", dirs_exist_ok=True)
    assert read_model(tmp_path).num_reg_images() == COUNT


@pytest.mark.parametrize("kind", ["binary", "text"])
def test_gaps_in_ids_and_several_cameras(tmp_path, kind):
    """A model with ids 7, 14, ... and two cameras, binary and text, gives its own poses back."""
    truth = orbit(8)
    model = points_seen(truth, cameras=2, step=7)
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    write = model.write_binary if kind == "binary" else model.write_text
    write(tmp_path / "sparse" / "0")
    (tmp_path / "images").mkdir()
    for image in registered(model):
        size = (image.camera.width, image.camera.height)
        Image.new("RGB", size).save(tmp_path / "images" / image.name)
    scene = load_scene(SceneOptions(root_dir=str(tmp_path), dataset_name="colmap"))
    np.testing.assert_allclose(world_poses(scene), truth, atol=1e-5)
    assert scene.cameras.size.tolist()[:2] == [[400, 300], [480, 360]]
    np.testing.assert_allclose(scene.cameras.intrinsics[:2, 0], [400, 480], rtol=1e-6)
    report = run(tmp_path, tmp_path / "scene")
    assert report["placed"] == 8
    again = load_scene(SceneOptions(root_dir=str(tmp_path / "scene"), dataset_name="transforms"))
    assert max(pose_errors(world_poses(again), truth)) < 0.01


def test_a_damaged_model_is_refused(tmp_path):
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    for name in ("cameras", "images", "points3D"):
        (tmp_path / "sparse" / "0" / f"{name}.bin").write_bytes(b"\x05" * 11)
    with pytest.raises(UserError, match="not a readable COLMAP model"):
        load_scene(SceneOptions(root_dir=str(tmp_path), dataset_name="colmap"))
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="has no COLMAP model"):
        load_scene(SceneOptions(root_dir=str(tmp_path / "other"), dataset_name="colmap"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "absent", "no such folder"),
        (lambda p: p, "empty"),
        (lambda p: _write(p / "notes.txt"), "neither a folder of photos nor a video"),
        (lambda p: _write(p / "clip.mp4"), "not a readable video"),
        (lambda p: _write(p / "a.jpg").parent, "0 photos are too few"),
        (lambda p: take_photos(p / "one", orbit(1)), "1 photo is too few"),
        (lambda p: take_photos(p / "same", np.repeat(orbit(1), 20, 0)), "only 1 different view"),
    ],
)
def test_hopeless_input_is_refused_in_words(tmp_path, make, words):
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match=words):
        run(make(tmp_path / "in"), tmp_path / "scene")
    assert not (tmp_path / "scene" / "images").exists()


def _write(path: Path) -> Path:
    path.write_text("nothing of the kind")
    return path


def test_unrelated_photos_stop_with_advice_and_a_sheet(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(4):
        plain = np.full((240, 320, 3), 225 + 5 * i, np.uint8)
        plain[:, : 20 * i] -= 20
        Image.fromarray(plain).save(folder / f"{i}.png")
    with pytest.raises(UserError, match="something patterned") as error:
        run(folder, tmp_path / "scene")
    assert "only 0 of 4 photos" in str(error.value)
    assert (tmp_path / "scene" / "contact_sheet.png").exists()
    assert not (tmp_path / "scene" / "images").exists()


def test_nothing_foreign_is_overwritten(tmp_path):
    photos = take_photos(tmp_path / "scene" / "images", sideways(3), (320, 240), 320)
    with pytest.raises(UserError, match="over its own input"):
        run(photos, tmp_path / "scene")
    with pytest.raises(UserError, match="over its own input"):
        run(tmp_path / "scene", tmp_path / "scene")
    with pytest.raises(UserError, match="not from this command"):
        run(take_photos(tmp_path / "photos", sideways(3)), tmp_path / "scene")
    assert len(list(photos.iterdir())) == 3


def test_command_line(tmp_path):
    """One line and exit code 2 for a mistake."""
    command = [
        sys.executable,
        str(ROOT / "prepare.py"),
        "--input",
        str(tmp_path / "no"),
        "--root_dir",
    ]
    done = subprocess.run([*command, str(tmp_path / "s")], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no such folder" in done.stderr


def test_real_photos(shared_scene, tmp_path):
    """20 of 20, and where a published reconstruction has them."""
    fern = shared_scene("fern")
    report = run(fern / "images", tmp_path / "scene")
    assert report["placed"] == 20
    assert report["capture"] == "forward-facing"
    truth = world_poses(load_scene(SceneOptions(root_dir=str(fern), dataset_name="llff")))
    ours = load_scene(SceneOptions(root_dir=str(tmp_path / "scene"), dataset_name="llff"))
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
