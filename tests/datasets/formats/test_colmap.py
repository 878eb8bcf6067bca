"""COLMAP's models: read directly, and converted by prepare.py."""

from __future__ import annotations

import shutil

import numpy as np
import pycolmap
import pytest
from PIL import Image

from datasets import load_scene
from datasets.config import SceneConfig
from datasets.sparse.model import read_model, registered
from errors import UserError
from tests.capture_scene import COUNT, orbit, points_seen, pose_errors, run, world_poses


def test_conversion_of_a_model_made_elsewhere(solved, tmp_path):
    """COLMAP's own folder, distorted cameras and a photo missing, without solving again."""
    photos, root, poses, _ = solved
    models = next((root / ".prepare").glob("quick-*/incremental"))
    shutil.copytree(models, tmp_path / "colmap" / "sparse")
    shutil.copytree(photos, tmp_path / "colmap" / "images")
    (tmp_path / "colmap" / "images" / "05.jpg").unlink()
    with pytest.raises(UserError, match=r"05\.jpg"):
        load_scene(SceneConfig(root_dir=str(tmp_path / "colmap"), dataset_name="colmap"))
    report = run(tmp_path / "colmap", tmp_path / "scene")
    assert report["placed"] == COUNT - 1
    assert "05.jpg" in report["skipped"][0]
    for name in ("llff", "transforms", "colmap"):
        scene = load_scene(SceneConfig(root_dir=str(tmp_path / "scene"), dataset_name=name))
        centre, angle = pose_errors(world_poses(scene), np.delete(poses, 5, axis=0))
        assert centre < 0.5
        assert angle < 0.3


def test_distorted_model_is_read_directly(solved, tmp_path):
    photos, root, poses, _ = solved
    models = next((root / ".prepare").glob("quick-*/incremental"))
    shutil.copytree(models, tmp_path / "sparse")
    shutil.copytree(photos, tmp_path / "images")
    scene = load_scene(SceneConfig(root_dir=str(tmp_path), dataset_name="colmap"))
    centre, angle = pose_errors(world_poses(scene), poses)
    assert centre < 0.5
    assert angle < 0.3
    assert scene.frames[0] is not None
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
        camera = model.cameras[image.camera_id]
        size = (camera.width, camera.height)
        Image.new("RGB", size).save(tmp_path / "images" / image.name)
    scene = load_scene(SceneConfig(root_dir=str(tmp_path), dataset_name="colmap"))
    np.testing.assert_allclose(world_poses(scene), truth, atol=1e-5)
    assert scene.cameras.size.tolist()[:2] == [[400, 300], [480, 360]]
    np.testing.assert_allclose(scene.cameras.intrinsics[:2, 0], [400, 480], rtol=1e-6)
    report = run(tmp_path, tmp_path / "scene")
    assert report["placed"] == 8
    again = load_scene(SceneConfig(root_dir=str(tmp_path / "scene"), dataset_name="transforms"))
    assert max(pose_errors(world_poses(again), truth)) < 0.01


def test_a_damaged_model_is_refused(tmp_path):
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    for name in ("cameras", "images", "points3D"):
        (tmp_path / "sparse" / "0" / f"{name}.bin").write_bytes(b"\x05" * 11)
    with pytest.raises(UserError, match="not a readable COLMAP model"):
        load_scene(SceneConfig(root_dir=str(tmp_path), dataset_name="colmap"))
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="has no COLMAP model"):
        load_scene(SceneConfig(root_dir=str(tmp_path / "other"), dataset_name="colmap"))


def test_a_name_that_the_binary_format_cannot_hold_is_refused(tmp_path):
    folder = tmp_path / "sparse" / "0"
    folder.mkdir(parents=True)
    points_seen(orbit(3)).write_text(folder)
    text = (folder / "images.txt").read_text()
    (folder / "images.txt").write_text(text.replace("01.jpg", "01\0.jpg"))
    with pytest.raises(UserError, match="zero byte in its name"):
        read_model(tmp_path)
