"""Photos of a made-up place for the capture tests: a patterned box on a patterned floor.

Plane by plane, far to near, each warped by its homography: exact, and quick.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pycolmap
from PIL import Image

from capture.config import PrepareConfig
from capture.pipeline import prepare
from geometry.poses import look_at

FOCAL, SIZE, K1, COUNT = 400.0, (400, 300), 0.06, 20
UP = np.array([0.0, 0.0, 1.0])


def pattern(seed: int, size: int = 512) -> np.ndarray:
    """Coloured noise at several scales: something for SIFT to hold on to."""
    generator = np.random.default_rng(seed)
    image = np.zeros((size, size, 3))
    for cells, weight in ((4, 1.0), (16, 1.0), (48, 1.0), (128, 0.6)):
        noise = generator.uniform(-1, 1, (cells, cells, 3)).astype(np.float32)
        image += weight * cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return (np.clip(128 + 70 * image, 12, 243)).astype(np.uint8)


# Each face: corner, the two edges from there, texture. Seen from where the normal points.
def _face(corner, u, v, seed):
    return np.array(corner, float), np.array(u, float), np.array(v, float), pattern(seed)


BOX = [
    _face((-0.4, -0.4, 0), (0.8, 0, 0), (0, 0, 0.7), 1),
    _face((0.4, -0.4, 0), (0, 0.8, 0), (0, 0, 0.7), 2),
    _face((0.4, 0.4, 0), (-0.8, 0, 0), (0, 0, 0.7), 3),
    _face((-0.4, 0.4, 0), (0, -0.8, 0), (0, 0, 0.7), 4),
    _face((-0.4, -0.4, 0.7), (0.8, 0, 0), (0, 0.8, 0), 5),
]
FLOOR = _face((-2, -2, 0), (4, 0, 0), (0, 4, 0), 6)
PLACE = [_face((-4, 2.5, -3), (8, 0, 0), (0, 0, 6), 7), FLOOR, *BOX]  # with a wall behind


def photograph(pose: np.ndarray, size: tuple[int, int], focal: float, faces=None) -> np.ndarray:
    """The place from a camera-to-world pose (3, 4), OpenGL axes, through a pinhole."""
    width, height = size
    canvas = np.full((height, width, 3), 128, np.uint8)
    matrix = np.array([[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1]])
    rotation = (pose[:, :3] * [1, -1, -1]).T
    for corner, u, v, texture in [FLOOR, *BOX] if faces is None else faces:
        normal = np.cross(u, v)
        if (pose[:, 3] - corner) @ normal <= 0:
            continue
        side = texture.shape[0]
        # Texture pixels (column, row), row 0 at the far end of v, to the world, to the photo.
        plane = np.stack([u / side, -v / side, corner + v + (u - v) * 0.5 / side], axis=1)
        plane[:, 2] -= pose[:, 3]
        homography = matrix @ rotation @ plane
        for image, _border in ((texture, canvas),):
            warped = cv2.warpPerspective(image, homography, size, flags=cv2.INTER_AREA)
        inside = cv2.warpPerspective(np.full((side, side), 255, np.uint8), homography, size)
        canvas[inside > 127] = warped[inside > 127]
    return canvas


def distort(image: np.ndarray, focal: float, k1: float) -> np.ndarray:
    """The photo as a lens with radial distortion k1 (OpenCV's sign) takes it."""
    height, width = image.shape[:2]
    matrix = np.array([[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1]])
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    grid = np.stack([x, y], -1).reshape(-1, 1, 2).astype(np.float64)
    ideal = cv2.undistortPoints(grid, matrix, np.array([k1, 0, 0, 0]), P=matrix)
    source = ideal.reshape(height, width, 2).astype(np.float32)
    u, v = source[..., 0], source[..., 1]
    return cv2.remap(image, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def orbit(count: int, radius: float = 2.4, arc: float = 360.0) -> np.ndarray:
    """Camera-to-world poses around the box, at heights that vary a little."""
    poses = []
    for i, angle in enumerate(np.radians(np.arange(count) * arc / count)):
        height = 1.3 + 0.25 * np.sin(2.6 * i)
        position = np.array([radius * np.cos(angle), radius * np.sin(angle), height])
        poses.append(look_at(position, np.array([0, 0, 0.3]), UP))
    return np.stack(poses)


def sideways(count: int) -> np.ndarray:
    """Poses that face forward (+y), side by side."""
    poses = []
    for i in range(count):
        position = np.array([-0.8 + 1.6 * i / (count - 1), -2.6, 0.9 + 0.12 * (-1) ** i])
        poses.append(look_at(position, np.array([0.2 * position[0], 0, 0.4]), UP))
    return np.stack(poses)


def take_photos(folder: Path, poses, size=(400, 300), focal=400.0, k1=0.0, faces=None) -> Path:
    """Write photos 00.jpg, 01.jpg, ... into a new folder."""
    folder.mkdir(parents=True)
    for i, pose in enumerate(poses):
        image = photograph(pose, size, focal, faces)
        if k1:
            image = distort(image, focal, k1)
        Image.fromarray(image).save(folder / f"{i:02d}.jpg", quality=95)
    return folder


def points_seen(poses: np.ndarray, cameras: int = 1, step: int = 1) -> pycolmap.Reconstruction:
    """A COLMAP model of points on a sphere, seen by exact cameras.

    Camera i is larger than the first by 20 % i; images take turns; image ids count by `step`.
    """
    generator = np.random.default_rng(0)
    xyz = generator.normal(size=(200, 3))
    xyz = 0.4 * xyz / np.linalg.norm(xyz, axis=1, keepdims=True) + [0, 0, 0.4]
    model = pycolmap.Reconstruction()
    factors = [1 + 0.2 * i for i in range(cameras)]
    for i, factor in enumerate(factors):
        size = (round(400 * factor), round(300 * factor))
        lens = pycolmap.Camera.create_from_model_name(3 * i + 1, "SIMPLE_PINHOLE", 1, *size)
        lens.params = [400 * factor, size[0] / 2, size[1] / 2]
        model.add_camera_with_trivial_rig(lens)
    for number, pose in enumerate(poses):
        factor = factors[number % cameras]
        rotation = (pose[:, :3] * [1, -1, -1]).T
        local = (xyz - pose[:, 3]) @ rotation.T
        pixels = factor * (400 * local[:, :2] / local[:, 2:] + [200, 150])
        camera_id, image_id = 3 * (number % cameras) + 1, step * (number + 1)
        image = pycolmap.Image(f"{number + 1:02d}.jpg", pixels, camera_id, image_id)
        shift = (-rotation @ pose[:, 3])[:, None]
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.hstack([rotation, shift])))
    for index, point in enumerate(xyz):
        track = pycolmap.Track()
        for number in range(len(poses)):
            track.add_element(step * (number + 1), index)
        model.add_point3D(point, track, np.zeros(3, np.uint8))
    return model


def similarity(found: np.ndarray, true: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation, translation (Umeyama, 1991) from found to true points (n, 3)."""
    a, b = found - found.mean(0), true - true.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ d @ vt
    scale = (s * np.diag(d)).sum() / (a**2).sum()
    return scale, rotation, true.mean(0) - scale * rotation @ found.mean(0)


def pose_errors(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Medians, after a similarity: centres in percent of their extent, rotations in degrees."""
    scale, rotation, shift = similarity(found[:, :, 3], true[:, :, 3])
    centre = np.linalg.norm(scale * found[:, :, 3] @ rotation.T + shift - true[:, :, 3], axis=1)
    extent = np.linalg.norm(np.ptp(true[:, :, 3], axis=0))
    cosine = (np.einsum("nij,nij->n", rotation @ found[:, :, :3], true[:, :, :3]) - 1) / 2
    angle = np.degrees(np.arccos(cosine.clip(-1, 1)))
    return float(100 * np.median(centre) / extent), float(np.median(angle))


def world_poses(scene) -> np.ndarray:
    """The poses of a loaded scene in the coordinates of its files."""
    c2w, to_input = scene.cameras.c2w.double().numpy(), scene.to_input
    rotation = to_input[:3, :3] / np.cbrt(np.linalg.det(to_input[:3, :3]))
    centre = c2w[:, :, 3] @ to_input[:3, :3].T + to_input[:3, 3]
    return np.concatenate([rotation @ c2w[:, :, :3], centre[:, :, None]], axis=2)


def run(source: Path, root: Path, **options) -> dict:
    return prepare(PrepareConfig(input=str(source), root_dir=str(root), **options))
