"""Loaders: the same world from every format, sizes, splits, and mistakes told by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from datasets import load_scene
from datasets.config import SceneConfig
from datasets.scene import Scene
from errors import UserError
from geometry.poses import apply, focus_point, up_direction
from geometry.rays import image_rays
from tests.scenes import (
    ball_image,
    circle_poses,
    forward_poses,
    opaque,
    write_blender,
    write_llff,
    write_npz,
)


def load(root: Path, dataset_name: Any, **options: Any) -> Scene:
    return load_scene(SceneConfig(root_dir=str(root), dataset_name=dataset_name, **options))


def input_poses(scene: Scene) -> np.ndarray:
    """The scene's cameras in the coordinates of its files."""
    poses = scene.cameras.c2w.double().numpy()
    return poses if scene.to_input is None else apply(scene.to_input, poses)


def ball_agrees(scene: Scene, index: int, centre=(0.0, 0.0, 0.0), levels: float = 3) -> None:
    """Rays of the camera hit the ball where its photo shows it, and in the right colour."""
    rays = image_rays(scene.cameras, scene.bounds, index)
    photo = scene.photos([index]).image(0).reshape(-1, 3).double()
    to_input = np.eye(4) if scene.to_input is None else scene.to_input
    o = rays.origins.double().numpy() @ to_input[:3, :3].T + to_input[:3, 3] - centre
    d = rays.viewdirs.double().numpy() @ (to_input[:3, :3] / scene.units).T
    b = (o * d).sum(1)
    disc = b**2 - (o * o).sum(1) + 1
    normal = o + (-b - np.sqrt(np.maximum(disc, 0)))[:, None] * d
    inside = torch.from_numpy(disc > 0.15)
    assert inside.any()
    error = (photo - 127.5 * torch.from_numpy(normal + 1))[inside].abs()
    # Half a pixel is about 7 levels here; resizing blurs the rim.
    assert error.mean() < levels
    assert error.quantile(0.95) < 5 * levels


# --- blender ---------------------------------------------------------------------------------


def test_blender(tmp_path):
    scene = load(write_blender(tmp_path / "ball"), "blender")
    assert {name: len(views) for name, views in scene.splits.items()} == {
        "train": 8,
        "val": 2,
        "test": 3,
    }
    assert (scene.bounds.near, scene.bounds.far) == (2.0, 6.0)
    photos = scene.photos(scene.splits["train"])
    assert photos.pixels.shape == (8 * 24 * 24, 3)
    assert (photos.image(0)[0, 0] == 255).all()  # transparent is white
    ball_agrees(scene, 5)


def test_blender_at_another_size(tmp_path):
    scene = load(write_blender(tmp_path / "ball"), "blender", img_wh=(40, 12))
    assert scene.photos([0]).image(0).shape == (12, 40, 3)
    ball_agrees(scene, 5, levels=5)


def test_blender_file_names_with_endings(tmp_path):
    root = write_blender(tmp_path / "ball")
    path = root / "transforms_train.json"
    path.write_text(
        path.read_text().replace('r_1"', 'r_1.png"').replace('"./train/r_2"', '"train\\\\r_2"')
    )
    assert len(load(root, "blender").splits["train"]) == 8


def test_blender_without_test_views(tmp_path):
    root = write_blender(tmp_path / "ball")
    (root / "transforms_test.json").unlink()
    assert load(root, "blender").splits["test"] == load(root, "blender").splits["val"]


# --- llff ------------------------------------------------------------------------------------

BALL_BEFORE = np.array([0.0, 0.0, -4.0])


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


# --- transforms ------------------------------------------------------------------------------


def write_transforms(
    root: Path, size=(48, 36), k1: float = 0.0, stored=None, per_frame=False, mask=False, count=9
) -> Path:
    """A capture of the ball by a camera with distortion; `stored` is the size of the files."""
    (root / "images").mkdir(parents=True)
    focal = 40.0
    intrinsics = {"fl_x": focal, "fl_y": focal, "cx": size[0] / 2, "cy": size[1] / 2}
    intrinsics |= {"w": size[0], "h": size[1], "k1": k1, "k2": 0.0, "p1": 0.0, "p2": 0.0}
    # A photo with distortion: for each of its pixels, look where the pinhole sees it.
    matrix = np.array([[focal, 0, size[0] / 2 - 0.5], [0, focal, size[1] / 2 - 0.5], [0, 0, 1]])
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    points = np.stack([x, y], -1).reshape(-1, 1, 2)
    straight = cv2.undistortPoints(points, matrix, np.array([k1, 0, 0, 0.0]), P=matrix)
    straight = straight.reshape(size[1], size[0], 2).astype(np.float32)
    frames = []
    for i, pose in enumerate(circle_poses(count)):
        image = opaque(ball_image(pose, size, focal))
        if k1:
            image = cv2.remap(image, straight[..., 0], straight[..., 1], cv2.INTER_LINEAR)
        photo = Image.fromarray(image)
        if stored is not None:
            photo = photo.resize(stored)
        photo.save(root / "images" / f"{i:02d}.png")
        matrix_i = np.vstack([pose, [0, 0, 0, 1]]).tolist()
        frame = {"file_path": f"./images/{i:02d}.png", "transform_matrix": matrix_i}
        if per_frame:
            frame |= intrinsics
        if mask:
            hidden = np.full((size[1], size[0]), 255, np.uint8)
            hidden[: size[1] // 2] = 0
            Image.fromarray(hidden).save(root / f"mask{i}.png")
            frame["mask_path"] = f"mask{i}.png"
        frames.append(frame)
    top = {"w": 1, "h": 1, "fl_x": 1.0} if per_frame else intrinsics
    (root / "transforms.json").write_text(json.dumps({**top, "frames": frames}))
    return root


@pytest.mark.parametrize("size", [(48, 36), (36, 48)])
@pytest.mark.parametrize("k1", [0.0, 0.25, -0.2])
@pytest.mark.parametrize("per_frame", [False, True])
def test_transforms_undistorts(tmp_path, size, k1, per_frame):
    scene = load(write_transforms(tmp_path / "ball", size, k1, per_frame=per_frame), "transforms")
    np.testing.assert_allclose(input_poses(scene), circle_poses(9), atol=1e-5)
    assert scene.cameras.size[0].tolist() == list(size)
    ball_agrees(scene, 2)


def test_transforms_photos_smaller_than_declared(tmp_path):
    scene = load(write_transforms(tmp_path / "ball", (96, 72), stored=(48, 36)), "transforms")
    torch.testing.assert_close(scene.cameras.intrinsics[0], torch.tensor([20.0, 20.0, 24.0, 18.0]))
    ball_agrees(scene, 2)


def test_transforms_scale_and_centre(tmp_path):
    scene = load(write_transforms(tmp_path / "ball"), "transforms")
    distances = scene.cameras.c2w[:, :, 3].norm(dim=1)
    torch.testing.assert_close(distances, torch.ones(9))
    assert scene.up == (0.0, 0.0, 1.0)
    near = load(tmp_path / "ball", "transforms", near=1.0, far=8.0).bounds
    assert near.near * scene.units == pytest.approx(1.0)
    assert near.far * scene.units == pytest.approx(8.0)


def test_masks_leave_pixels_out(tmp_path):
    scene = load(write_transforms(tmp_path / "ball", mask=True), "transforms")
    photos = scene.photos([0, 1])
    mask = photos.mask(1)
    assert mask is not None
    assert not mask[:18].any()
    assert mask[18:].all()


def test_split_lists_of_the_file(tmp_path):
    root = write_transforms(tmp_path / "ball")
    meta = json.loads((root / "transforms.json").read_text())
    meta["train_filenames"] = [f"./images/{i:02d}.png" for i in range(6)]
    meta["test_filenames"] = ["./images/06.png"]
    (root / "transforms.json").write_text(json.dumps(meta))
    scene = load(root, "transforms")
    assert scene.splits == {"train": [0, 1, 2, 3, 4, 5], "val": [6], "test": [6]}


def test_a_photo_turned_by_its_exif_tag(tmp_path):
    """Poses were solved on the upright photo, as w and h say; the file is stored lying."""
    root = write_transforms(tmp_path / "ball", (36, 48))
    for path in (root / "images").iterdir():
        image = Image.open(path).transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees clockwise to view
        image.save(path, exif=exif)
    scene = load(root, "transforms")
    assert scene.photos([0]).image(0).shape == (48, 36, 3)
    ball_agrees(scene, 2)


# --- npz -------------------------------------------------------------------------------------


@pytest.mark.parametrize("opencv", [True, False])
def test_npz_axes_are_found(tmp_path, opencv):
    scene = load(write_npz(tmp_path / "ball.npz", opencv=opencv), "npz")
    np.testing.assert_allclose(scene.cameras.c2w[:8].numpy(), circle_poses(8), atol=1e-5)
    assert (scene.bounds.near, scene.bounds.far) == (2.0, 6.0)
    assert scene.name == "ball"
    assert [len(scene.splits[s]) for s in ("train", "val", "test")] == [8, 2, 3]
    assert scene.has_photos("val")
    assert not scene.has_photos("test")
    ball_agrees(scene, 4)


# --- what all share --------------------------------------------------------------------------


def test_a_scene_survives_a_checkpoint(tmp_path):
    root = write_llff(tmp_path / "ball", forward_poses(9), centre=BALL_BEFORE)
    scene = load(root, "llff")
    again = Scene.from_dict(json.loads(json.dumps(scene.to_dict())))
    assert again.bounds == scene.bounds
    assert again.splits == scene.splits
    assert torch.equal(again.cameras.c2w, scene.cameras.c2w)
    assert again.units == pytest.approx(scene.units)


def test_focus_and_up_of_a_tilted_circle():
    turn = np.eye(4)
    turn[:3, :3] = cv2.Rodrigues(np.array([0.4, 0.2, -0.3]))[0]
    turn[:3, 3] = [3.0, -1.0, 2.0]
    poses = apply(turn, circle_poses(12))
    np.testing.assert_allclose(focus_point(poses), [3, -1, 2], atol=1e-4)
    np.testing.assert_allclose(up_direction(poses), turn[:3, 2], atol=1e-6)


def test_real_scenes(shared_scene):
    fern = load(shared_scene("fern"), "llff", img_wh=(504, 378))
    assert fern.forward_facing
    assert len(fern.splits["test"]) == 3
    toy = load(shared_scene("toy"), "transforms")
    assert not toy.forward_facing
    assert toy.cameras.size[0].tolist() == [720, 1600]


# --- mistakes --------------------------------------------------------------------------------


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


def test_missing_photos_of_transforms_are_named(tmp_path):
    root = write_transforms(tmp_path / "ball")
    (root / "images/03.png").unlink()
    with pytest.raises(UserError, match=r"1 of 9 photos are missing: ./images/03\.png"):
        load(root, "transforms")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda a: a.pop("focal"), "focal"),
        (lambda a: a.update(focal=np.array([1.0, 2.0])), r"focal has shape \(2,\)"),
        (lambda a: a.update(c2ws_train=a["c2ws_train"][:5]), "8 images_train but 5"),
        (lambda a: a.update(c2ws_train=np.zeros((8, 3, 3))), r"shape \(8, 3, 3\)"),
        (lambda a: a.update(images_train=np.zeros((8, 24, 24), np.uint8)), "images_train has"),
        (lambda a: a.update(images_val=np.array([None])), "code"),
    ],
)
def test_mistakes_in_npz(tmp_path, change, word):
    path = write_npz(tmp_path / "ball.npz")
    arrays = dict(np.load(path))
    change(arrays)
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=word):
        load(path, "npz")


def test_the_other_blender_format_is_pointed_out(tmp_path):
    with pytest.raises(UserError, match="--dataset_name blender"):
        load(write_blender(tmp_path / "ball"), "transforms")
