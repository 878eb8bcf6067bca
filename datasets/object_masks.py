"""An object cut out of its photos: transparent around it, or masks that leave nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from PIL import Image

from datasets.config import SceneConfig
from datasets.formats.common import object_bounds
from datasets.photos import Frame, has_alpha, read_mask, read_photo
from datasets.scene import Scene
from errors import UserError
from geometry.poses import focus_point

# Masks of an object leave out most of the photos' edges, and half of their area and more.
_EDGES, _AREA = 0.75, 0.5
# Masks that are all alike are of the lens, or of what the camera stands on.
_ALIKE = 0.01
# So many photos or masks are looked at, and masks so large.
_LOOKS, _SIZE = 16, 64


def apply_object_masks(scene: Scene, config: SceneConfig) -> Scene:
    """The scene of an object alone, before white, where its photos show one; otherwise as it is.

    Masks hide what disturbs (people who walk by), and nothing is known of the hidden pixels; or
    they show one object, and what they leave out is meant to be empty, as if it were transparent.

    Raises UserError where --cut_out asks for what no photo has.
    """
    frames = [frame for frame in scene.frames if frame is not None]
    if scene.foreground_only or config.cut_out is False or not frames:
        return scene
    transparent = show_through(frames)
    masked = any(frame.mask_path is not None for frame in frames)
    if config.cut_out and not (transparent or masked):
        raise UserError(
            f"--cut_out: no photo of {scene.name} is transparent or has a mask; see "
            "docs/training.md for where masks belong"
        )
    if not (config.cut_out or transparent):
        if scene.forward_facing or not show_an_object(frames):
            return scene
        print(
            f"{scene.name}: an object that its masks cut out; with --cut_out False nothing is "
            "supposed of what they hide"
        )
    scene = replace(scene, foreground_only=True, background=1.0)
    if not transparent:
        cut = tuple(None if f is None else replace(f, mask_is_alpha=True) for f in scene.frames)
        scene = replace(scene, frames=cut)
    if scene.forward_facing:
        return scene
    poses = scene.cameras.c2w.double().numpy()
    first, last = object_bounds(np.linalg.norm(poses[:, :, 3] - focus_point(poses), axis=1))
    near, far = scene.bounds.near, scene.bounds.far
    near = max(near, first) if config.near is None else near
    far = min(far, last) if config.far is None else far
    if near >= far:  # of a scene file with bounds of its own
        return scene
    return replace(scene, bounds=replace(scene.bounds, near=near, far=far))


def show_through(frames: list[Frame]) -> bool:
    """Whether photos are transparent anywhere: many have an opacity that is full."""
    able = [frame for frame in frames if frame.path is not None and has_alpha(frame.path)]
    return any(bool((read_photo(frame)[..., 3:] < 128).any()) for frame in _some(able))


def show_an_object(frames: list[Frame]) -> bool:
    """Whether the photos' masks leave little else than something in their middles."""
    if any(frame.mask_path is None for frame in frames):
        return False
    masks = np.stack([_small(frame) for frame in _some(frames)])
    edges = np.concatenate(
        [masks[:, 0], masks[:, -1], masks[:, 1:-1, 0], masks[:, 1:-1, -1]], axis=1
    )
    differ = np.abs(masks - masks[0]).mean(axis=(1, 2)).max()
    return bool(edges.mean() <= 1 - _EDGES and masks.mean() <= _AREA and differ > _ALIKE)


def _some(frames: list[Frame]) -> list[Frame]:
    return frames[:: max(1, len(frames) // _LOOKS)]


def _small(frame: Frame) -> Float[np.ndarray, "height width"]:
    """The frame's mask at a small size, from 0 (left out) to 1."""
    image = Image.fromarray(read_mask(frame).astype(np.uint8) * 255)
    small = image.resize((_SIZE, _SIZE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64) / 255
