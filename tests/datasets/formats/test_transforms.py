"""transforms.json: lenses, sizes, masks, split lists, EXIF tags."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from errors import UserError
from tests.helpers.ball_scenes import ball_agrees, input_poses, load
from tests.scenes import (
    ball_image,
    circle_poses,
    opaque,
)


def write_transforms(
    root: Path, size=(48, 36), k1: float = 0.0, stored=None, per_frame=False, mask=False, count=9
) -> Path:
    """A capture of the ball by a camera with distortion; `stored` is the size of the files."""
    (root / "images").mkdir(parents=True)
    focal = 40.0
    intrinsics = {"fl_x": focal, "fl_y": focal, "cx": size[0] / 2, "cy": size[1] / 2}
    intrinsics |= {"w": size[0], "h": size[1], "k1": k1, "k2": 0.0, "p1": 0.0, "p2": 0.0}
    # A photo with distortion: for each of its pixels, integrate where the pinhole sees it.
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


def test_missing_photos_of_transforms_are_named(tmp_path):
    root = write_transforms(tmp_path / "ball")
    (root / "images/03.png").unlink()
    with pytest.raises(UserError, match=r"1 of 9 photos are missing: ./images/03\.png"):
        load(root, "transforms")
