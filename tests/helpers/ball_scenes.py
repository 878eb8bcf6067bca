"""Scenes of the ball: loading them, and whether their rays meet it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets import load_scene
from datasets.config import SceneConfig
from datasets.scene import Scene
from geometry.poses import apply
from geometry.rays import image_rays


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


BALL_BEFORE = np.array([0.0, 0.0, -4.0])
