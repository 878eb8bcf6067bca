"""Scenes from files: each format is one loader, and one line in `dataset_dict`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from errors import UserError
from opt import SceneOptions

from .blender import load_blender
from .colmap import load_colmap
from .cutout import cut_out
from .demo import load_demo
from .llff import load_llff
from .npz import load_npz
from .region import find_region
from .scene import Scene
from .transforms import load_transforms

dataset_dict: dict[str, Callable[[SceneOptions], Scene]] = {
    "blender": load_blender,
    "llff": load_llff,
    "transforms": load_transforms,
    "npz": load_npz,
    "colmap": load_colmap,
    "demo": load_demo,
}


def load_scene(options: SceneOptions) -> Scene:
    """The scene that the options name. Raises UserError where its files are wrong."""
    if not options.root_dir and options.dataset_name != "demo":
        raise UserError("--root_dir is missing: the folder of the scene")
    scene = cut_out(dataset_dict[options.dataset_name](options), options)
    # transforms.json says nothing about how near things are; the other formats' files do.
    near_is_known = options.near is not None or options.dataset_name != "transforms"
    return replace(scene, region=find_region(scene, near_is_known))
