"""Scenes from files: each format is one loader, and one line in `dataset_dict`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from datasets.camera_checks import check_cameras
from datasets.checks import check_finite, tell_shared_photos
from datasets.config import SceneConfig
from datasets.demo.scene import load_demo
from datasets.formats.blender import load_blender
from datasets.formats.colmap import load_colmap
from datasets.formats.llff import load_llff
from datasets.formats.npz import load_npz
from datasets.formats.transforms import load_transforms
from datasets.object_masks import apply_object_masks
from datasets.scene import Scene
from errors import UserError
from geometry.region import find_region

dataset_dict: dict[str, Callable[[SceneConfig], Scene]] = {
    "blender": load_blender,
    "llff": load_llff,
    "transforms": load_transforms,
    "npz": load_npz,
    "colmap": load_colmap,
    "demo": load_demo,
}

# Formats that say which axes the cameras have.
_KNOWN_AXES = ("llff", "colmap", "demo")


def check_format(name: str) -> None:
    """Raise UserError where no format has this name; results lie in a folder of the name."""
    if name not in dataset_dict:
        raise UserError(f"--dataset_name {name}: not one of {', '.join(dataset_dict)}")


def load_scene(config: SceneConfig) -> Scene:
    """The scene that the configuration names. Raises UserError where its files are wrong."""
    if not config.root_dir and config.dataset_name != "demo":
        raise UserError("--root_dir is missing: the folder of the scene")
    check_format(config.dataset_name)
    if config.axes is not None and config.dataset_name in _KNOWN_AXES:
        raise UserError(f"--axes means nothing with --dataset_name {config.dataset_name}")
    try:
        scene = apply_object_masks(dataset_dict[config.dataset_name](config), config)
        check_finite(scene, config)
        cameras = scene.cameras[scene.splits["train"]]
        near_is_known = config.near is not None or scene.near_is_known
        region = find_region(cameras, scene.bounds, scene.foreground_only, near_is_known)
        scene = replace(scene, region=region)
    except (np.linalg.LinAlgError, ArithmeticError) as error:  # of cameras that fix no place
        raise UserError(
            f"{config.root_dir}: its cameras give no scene ({error}); solve the poses again"
        ) from error
    check_finite(scene, config)
    check_cameras(scene, config)
    tell_shared_photos(scene)
    return scene
