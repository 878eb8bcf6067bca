"""Scenes from files: each format is one loader, and one line in `dataset_dict`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

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


def load_scene(config: SceneConfig) -> Scene:
    """The scene that the configuration names. Raises UserError where its files are wrong."""
    if not config.root_dir and config.dataset_name != "demo":
        raise UserError("--root_dir is missing: the folder of the scene")
    if config.dataset_name not in dataset_dict:
        known = ", ".join(dataset_dict)
        raise UserError(f"--dataset_name {config.dataset_name}: not one of {known}")
    scene = apply_object_masks(dataset_dict[config.dataset_name](config), config)
    cameras = scene.cameras[scene.splits["train"]]
    near_is_known = config.near is not None or scene.near_is_known
    region = find_region(cameras, scene.bounds, scene.foreground_only, near_is_known)
    return replace(scene, region=region)
