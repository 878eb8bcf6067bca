"""Small scenes that tests write: a coloured ball, seen by exact cameras."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from geometry.poses import look_at


def circle_poses(count: int, radius: float = 4.0, height: float = 1.5) -> np.ndarray:
    """Cameras (count, 3, 4) around the origin, +z up, looking at it."""
    poses = []
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        position = np.array([radius * np.cos(angle), radius * np.sin(angle), height])
        poses.append(look_at(position, np.zeros(3), np.array([0.0, 0.0, 1.0])))
    return np.stack(poses)


def forward_poses(count: int) -> np.ndarray:
    """Cameras in a plane that look down -z at what lies 4 before them."""
    poses = []
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        position = np.array([0.4 * np.cos(angle), 0.3 * np.sin(angle), 0.0])
        poses.append(look_at(position, np.array([0.0, 0, -4]), np.array([0.0, 1.0, 0])))
    return np.stack(poses)


def ball_image(
    pose: np.ndarray, size: tuple[int, int], focal: float, centre: np.ndarray | None = None
) -> np.ndarray:
    """RGBA of a unit ball whose colour is its normal; alpha 0 elsewhere."""
    width, height = size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    d = np.stack([(x - width / 2) / focal, (height / 2 - y) / focal, -np.ones_like(x)], -1)
    d = (d / np.linalg.norm(d, axis=-1, keepdims=True)) @ pose[:, :3].T
    o = pose[:, 3] - (np.zeros(3) if centre is None else centre)
    b = d @ o
    disc = b**2 - (o @ o - 1)
    t = -b - np.sqrt(np.maximum(disc, 0))
    normal = o + t[..., None] * d
    hit = (disc > 0)[..., None]
    rgb = np.where(hit, 127.5 * (normal + 1), 0)
    return np.concatenate([rgb, 255.0 * hit], -1).round().astype(np.uint8)


def write_blender(root: Path, size: int = 24, train: int = 8, val: int = 2, test: int = 3) -> Path:
    angle = 0.7
    focal = 0.5 * size / np.tan(0.5 * angle)
    for split, count in (("train", train), ("val", val), ("test", test)):
        (root / split).mkdir(parents=True)
        frames = []
        for i, pose in enumerate(circle_poses(count)):
            Image.fromarray(ball_image(pose, (size, size), focal)).save(root / split / f"r_{i}.png")
            matrix = np.vstack([pose, [0, 0, 0, 1]]).tolist()
            frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": matrix})
        content = {"camera_angle_x": angle, "frames": frames}
        (root / f"transforms_{split}.json").write_text(json.dumps(content))
    return root


def opaque(image: np.ndarray, level: int = 0) -> np.ndarray:
    """RGB of an RGBA image on a grey background."""
    return np.where(image[..., 3:] > 0, image[..., :3], level).astype(np.uint8)


def write_llff(
    root: Path,
    poses: np.ndarray,
    size: tuple[int, int] = (32, 24),
    focal: float = 30.0,
    hwf: tuple[float, float, float] | None = None,
    ending: str = ".png",
    centre: np.ndarray | None = None,
) -> Path:
    """A capture of the ball; hwf is what the file declares (the photos' own by default)."""
    (root / "images").mkdir(parents=True)
    rows = []
    for i, pose in enumerate(poses):
        image = opaque(ball_image(pose, size, focal, centre))
        Image.fromarray(image).save(root / "images" / f"image{i:03d}{ending}")
        columns = np.stack([-pose[:, 1], pose[:, 0], pose[:, 2], pose[:, 3]], axis=1)
        block = np.concatenate([columns, np.array(hwf or (size[1], size[0], focal))[:, None]], 1)
        rows.append(np.concatenate([block.reshape(-1), [2.5, 7.0]]))
    np.save(root / "poses_bounds.npy", np.array(rows))
    return root


def write_npz(path: Path, size: int = 24, opencv: bool = True, count: int = 8) -> Path:
    focal = 33.0
    poses = circle_poses(count)
    images = np.stack([opaque(ball_image(pose, (size, size), focal)) for pose in poses])
    flip = np.array([1.0, -1, -1, 1]) if opencv else np.ones(4)
    c2ws = np.concatenate([poses * flip, np.tile([[[0, 0, 0, 1.0]]], (count, 1, 1))], axis=1)
    np.savez(
        path,
        images_train=images,
        c2ws_train=c2ws,
        images_val=images[:2],
        c2ws_val=c2ws[:2],
        c2ws_test=c2ws[1:4],
        focal=np.array(focal),
    )
    return path
