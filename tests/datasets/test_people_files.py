"""What files of other people contain, each kind loaded as it is meant, or named in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

from datasets import load_scene
from datasets.config import SceneConfig
from datasets.sparse.model import model_folders, read_model, registered
from errors import UserError
from tests.capture_scene import orbit, points_seen
from tests.helpers.ball_scenes import ball_agrees, input_poses, load
from tests.scenes import (
    ball_image,
    circle_poses,
    forward_poses,
    opaque,
    write_blender,
    write_llff,
    write_npz,
)

SIZE, FOCAL = (32, 24), 30.0


OPENCV = np.array([1.0, -1, -1, 1])


def write_transforms(root: Path, poses: np.ndarray, axes=1.0) -> Path:
    """Photos of the ball in images/, and a transforms.json, whose poses have other axes."""
    (root / "images").mkdir(parents=True)
    frames = []
    for i, pose in enumerate(poses):
        Image.fromarray(opaque(ball_image(pose, SIZE, FOCAL))).save(root / f"images/{i:02d}.png")
        matrix = np.vstack([pose * axes, [0, 0, 0, 1]]).tolist()
        frames.append({"file_path": f"images/{i:02d}.png", "transform_matrix": matrix})
    lens = {"w": SIZE[0], "h": SIZE[1], "fl_x": FOCAL}
    (root / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))
    return root


def change(root: Path, edit) -> None:
    """Edit the content of transforms.json."""
    path = root / "transforms.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def ball(tmp_path) -> Path:
    return write_transforms(tmp_path / "ball", circle_poses(9))


@pytest.fixture
def model(tmp_path) -> Path:
    """A folder with a text model of eight cameras, and their photos."""
    root = tmp_path / "place"
    (root / "sparse" / "0").mkdir(parents=True)
    (root / "images").mkdir()
    made = points_seen(orbit(8))
    made.write_text(root / "sparse" / "0")
    for image in registered(made):
        Image.new("RGB", (400, 300)).save(root / "images" / image.name)
    return root


def paths_of(scene) -> list[Path]:
    return [frame.path for frame in scene.frames]


def names_of(scene) -> list[str]:
    return [path.name for path in paths_of(scene)]


def count_observations(scene) -> int:
    observed = scene.observations()
    return 0 if observed is None else len(observed)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(ball, encoding):
    path = ball / "transforms.json"
    path.write_text(path.read_text(), encoding=encoding)
    ball_agrees(load(ball, "transforms"), 2)


def test_endings_in_another_case_and_of_another_kind(ball):
    for i, ending in enumerate((".PNG", ".Png", ".JPG")):
        path = ball / f"images/{i:02d}.png"
        image = Image.open(path)
        path.unlink()
        image.save(path.with_suffix(ending), quality=95)
    scene = load(ball, "transforms")
    assert names_of(scene)[:4] == ["00.PNG", "01.Png", "02.JPG", "03.png"]
    ball_agrees(scene, 1)


@pytest.mark.parametrize(
    "named", ["/home/someone/ball/rgb/{}", "C:\\Users\\someone\\rgb\\{}", "../data/rgb/{}", "{}"]
)
def test_photos_are_found_in_any_folder_of_the_scene(ball, named):
    (ball / "images").rename(ball / "rgb")
    shutil.copytree(ball / "rgb", ball / "masks")

    def rename(content):
        for frame in content["frames"]:
            frame["file_path"] = named.format(Path(frame["file_path"]).stem)

    change(ball, rename)
    scene = load(ball, "transforms")
    assert {path.parent.name for path in paths_of(scene)} == {"rgb"}
    ball_agrees(scene, 2)


def test_one_photo_is_not_taken_for_two(ball):
    change(ball, lambda c: c["frames"][1].update(file_path="cam2/00.png"))
    with pytest.raises(UserError, match=r"cam2/00\.png' is missing"):
        load(ball, "transforms")


def test_a_matrix_k_of_single_frames(ball):
    def halve(content):
        for frame in content["frames"][::2]:
            frame["K"] = [[FOCAL, 0, 16], [0, FOCAL, 12], [0, 0, 1]]
        content["fl_x"] = 2 * FOCAL

    change(ball, halve)
    scene = load(ball, "transforms")
    assert scene.cameras.intrinsics[:2, 0].tolist() == [FOCAL, 2 * FOCAL]
    ball_agrees(scene, 2)


def test_a_slider_whose_cameras_look_the_same_way(tmp_path, capsys):
    poses = np.tile(np.eye(4)[:3], (7, 1, 1))
    poses[:, 0, 3] = np.linspace(0, 0.6, 7)
    scene = load(write_transforms(tmp_path / "rail", poses), "transforms")
    assert scene.forward_facing
    np.testing.assert_allclose(input_poses(scene), poses, atol=1e-6)
    assert "set --near" in capsys.readouterr().out
    assert load(tmp_path / "rail", "transforms", near=2.0).units == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["transforms", "blender", "npz"])
def test_opencv_axes_are_said_and_turned(tmp_path, capsys, name):
    root = tmp_path / "ball"
    if name == "transforms":
        write_transforms(root, circle_poses(9), OPENCV)
    elif name == "blender":
        write_blender(root)
        for path in root.glob("*.json"):
            content = json.loads(path.read_text())
            for frame in content["frames"]:
                frame["transform_matrix"] = (np.array(frame["transform_matrix"]) * OPENCV).tolist()
            path.write_text(json.dumps(content))
    else:
        write_npz(tmp_path / "ball.npz")
        root = tmp_path / "ball.npz"
    load(root, name)
    out = capsys.readouterr().out
    assert "--axes opencv" in out or name == "npz"  # which finds out by itself
    ball_agrees(load(root, name, axes="opencv"), 2)
    assert "--axes" not in capsys.readouterr().out


def test_axes_mean_nothing_where_the_format_says_them(tmp_path):
    root = write_llff(tmp_path / "ball", circle_poses(9))
    with pytest.raises(UserError, match="--axes means nothing with --dataset_name llff"):
        load(root, "llff", axes="opencv")


def test_an_object_far_from_the_origin(tmp_path):
    root = write_blender(tmp_path / "ball")
    for path in root.glob("*.json"):
        content = json.loads(path.read_text())
        for frame in content["frames"]:
            for row, shift in enumerate((100.0, -20.0, 5.0)):
                frame["transform_matrix"][row][3] += shift
        path.write_text(json.dumps(content))
    scene = load(root, "blender")
    near = load(write_blender(tmp_path / "near"), "blender")
    assert (scene.bounds.near, scene.bounds.far) == pytest.approx(
        (near.bounds.near, near.bounds.far), rel=1e-4
    )
    ball_agrees(scene, 2, centre=(100.0, -20.0, 5.0))


def test_undistorted_copies_are_said(ball, capsys):
    load(ball, "transforms")
    assert "no scaled copy" not in capsys.readouterr().out
    change(ball, lambda c: c.update(w=64, h=48, fl_x=2 * FOCAL))
    load(ball, "transforms")
    assert "no scaled copy" not in capsys.readouterr().out
    change(ball, lambda c: c.update(w=34, h=25))
    load(ball, "transforms")
    assert "photos of 34 x 25, the photos are 32 x 24" in capsys.readouterr().out


def test_the_same_photos_in_all_splits_are_said(tmp_path, capsys):
    root = write_blender(tmp_path / "ball")
    load(root, "blender")
    assert "trained on" not in capsys.readouterr().out
    for split in ("val", "test"):
        shutil.copy(root / "transforms_train.json", root / f"transforms_{split}.json")
    load(root, "blender")
    assert "8 of 8 test photos are trained on too" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fl_x": [30]}, '"fl_x" needs a number, not [30]'),
        ({"fl_x": "wide"}, "\"fl_x\" needs a number, not 'wide'"),
        ({"fl_x": 0}, "focal length must be positive"),
        ({"fl_x": 1e9}, "that of no lens"),
        ({"w": 0}, '"w" must be positive'),
        ({"fl_x": None, "camera_angle_x": 0}, '"camera_angle_x" must be between 0 and pi'),
        ({"k1": 1e12}, "folds the image"),
        ({"is_fisheye": True, "k1": 1e9}, "folds the image"),
        ({"train_filenames": 3}, '"train_filenames" must be a list'),
    ],
)
def test_numbers_that_are_none(ball, values, words):
    change(ball, lambda c: c.update(values))
    with pytest.raises(UserError) as caught:
        load(ball, "transforms")
    assert words in str(caught.value)
    assert "transforms.json" in str(caught.value)


def test_fewer_poses_than_photos(tmp_path, capsys):
    """Rows belong to the images that the model places, in the order of their names."""
    poses = forward_poses(6)
    root = write_llff(tmp_path / "ball", poses)
    with_pose = [0, 1, 3, 5]
    table = np.load(root / "poses_bounds.npy")
    np.save(root / "poses_bounds.npy", table[with_pose])
    with pytest.raises(UserError, match="6 images but 4 poses"):
        load(root, "llff")
    made = points_seen(orbit(4))
    for image, i in zip(registered(made), with_pose, strict=True):
        image.name = f"image{i:03d}.JPG"
    (root / "sparse" / "0").mkdir(parents=True)
    made.write(root / "sparse" / "0")
    capsys.readouterr()
    scene = load(root, "llff")
    assert "without a pose: image002.png, image004.png" in capsys.readouterr().out
    assert names_of(scene) == [f"image{i:03d}.png" for i in with_pose]
    np.testing.assert_allclose(input_poses(scene), poses[with_pose], atol=1e-5)


def test_names_with_spaces(model):
    expected = load(model, "colmap")
    path = model / "sparse/0/images.txt"
    text = path.read_text()
    for photo in sorted((model / "images").iterdir()):
        name = f"A photo {photo.stem} (2).jpg"
        text = text.replace(f" {photo.name}\n", f" {name}\n")
        photo.rename(photo.with_name(name))
    path.write_text(text)
    scene = load(model, "colmap")
    assert names_of(scene)[0].startswith("A photo ")
    assert scene.cameras.c2w.equal(expected.cameras.c2w)
    assert count_observations(scene) == count_observations(expected) > 0


def test_unsigned_ids_and_lines_without_points(model):
    expected = load(model, "colmap")
    path = model / "sparse/0/images.txt"
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    lines[first + 1] = f"{lines[first + 1]} 5.0 6.0 {2**64 - 1} 7.0 8.0 -1"
    path.write_text("\n".join(lines))
    scene = load(model, "colmap")
    assert scene.cameras.c2w.equal(expected.cameras.c2w)
    # As a tool writes it that knows no points: one line an image.
    path.write_text("\n".join(line for line in lines if line.endswith(("jpg", "png"))))
    bare = load(model, "colmap", near=1.0, far=5.0)
    assert bare.cameras.c2w.shape == expected.cameras.c2w.shape


def test_a_model_without_points(model):
    (model / "sparse/0/points3D.txt").write_text("# none\n")
    with pytest.raises(UserError, match=r"no 3D points.*--near and --far"):
        load(model, "colmap")
    scene = load(model, "colmap", near=1.0, far=5.0)
    assert scene.bounds.near * scene.units == pytest.approx(1.0)
    assert scene.bounds.far * scene.units == pytest.approx(5.0)


@pytest.mark.parametrize(
    "place",
    ["colmap_sparse", "colmap_sparse/0", "colmap/sparse/0", "dense/0/sparse", "dense/0", "1"],
)
def test_places_of_models(model, place):
    (model / place).parent.mkdir(parents=True, exist_ok=True)
    (model / "sparse" / "0").rename(model / place)
    assert model_folders(model) == [model / place]
    assert len(load(model, "colmap").cameras) == 8


def test_photos_beside_the_model_come_first(model):
    """Undistorted copies stand with their model, under the names of the originals."""
    (model / "dense" / "0").mkdir(parents=True)
    (model / "sparse" / "0").rename(model / "dense" / "0" / "sparse")
    shutil.copytree(model / "images", model / "dense" / "0" / "images")
    scene = load(model, "colmap")
    assert paths_of(scene)[0].parent == model / "dense" / "0" / "images"


def test_the_missing_file_of_a_model_is_named(model):
    (model / "sparse/0/points3D.txt").unlink()
    with pytest.raises(UserError) as caught:
        load(model, "colmap")
    assert "without points3D.txt" in str(caught.value)
    assert "cameras" not in str(caught.value)


def test_photos_renamed_after_the_solve(model):
    for i, photo in enumerate(sorted((model / "images").iterdir())):
        photo.rename(photo.with_name(f"holiday {i}.jpg"))
    with pytest.raises(UserError) as caught:
        load(model, "colmap")
    named = registered(read_model(model))[0].name
    assert named in str(caught.value)
    assert "holiday 0.jpg" in str(caught.value)
    assert "renamed" in str(caught.value)


def test_points_that_were_thinned_out(model):
    """Images that name points which are no longer there keep the others."""
    path = model / "sparse/0/points3D.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-50]))
    assert 0 < count_observations(load(model, "colmap")) < 8 * 200


def test_every_camera_model_is_known():
    from datasets.sparse.records import CAMERA_MODELS

    for number, (name, count) in enumerate(CAMERA_MODELS):
        camera = pycolmap.Camera.create_from_model_name(1, name, 1.0, 10, 10)
        assert int(camera.model) == number
        assert len(camera.params) == count


def test_a_count_that_is_damaged_costs_no_memory(model):
    made = pycolmap.Reconstruction(model / "sparse/0")
    shutil.rmtree(model / "sparse/0")
    (model / "sparse/0").mkdir()
    made.write(model / "sparse/0")
    for name in ("cameras", "images", "points3D"):
        path = model / "sparse/0" / f"{name}.bin"
        sound = path.read_bytes()
        path.write_bytes((2**40).to_bytes(8, "little") + sound[8:])
        with pytest.raises(UserError, match=f"{name}.bin has fewer entries than it says"):
            load_scene(SceneConfig(str(model), "colmap"))
        path.write_bytes(sound)
    assert len(load(model, "colmap").cameras) == 8


@pytest.mark.parametrize("name", ["frame\n0.png", "a\0b.png", "x" * 400, "\ud800.png"])
def test_names_that_no_file_has(ball, name):
    change(ball, lambda c: c["frames"][0].update(file_path=name))
    with pytest.raises(UserError, match="1 of 9 photos are missing") as caught:
        load(ball, "transforms")
    assert str(caught.value).isprintable()
