"""The demo scene: our own still life, rendered into a folder in Blender format on first use."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from datasets.config import SceneConfig
from datasets.demo.raytracer import render, render_depth
from datasets.demo.still_life import still_life
from datasets.formats.blender import load_blender
from datasets.scene import Scene
from errors import UserError
from writing.files import remove_unfinished, unfinished

DEFAULT_ROOT = "data/demo"
# The cameras' distance from the origin, as in the paper's synthetic scenes.
_DISTANCE = 4.0
_CAMERA_ANGLE_X = 0.7
# A key of our transforms files by which a folder of ours is known.
_MARK = {"scene": "demo still life"}
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def load_demo(config: SceneConfig) -> Scene:
    """The demo scene in root_dir (by default data/demo), which is made where it is missing.

    Raises UserError where the folder holds anything else; nothing of it is touched then.
    """
    root = Path(config.root_dir or DEFAULT_ROOT)
    if _is_free(root):
        print(f"{root}: making the demo scene ...", end=" ", flush=True)
        start = time.perf_counter()
        write_demo_scene(root)
        print(f"done in {time.perf_counter() - start:.0f} s")
    _check(root)
    return load_blender(replace(config, root_dir=str(root)))


def write_demo_scene(
    root: Path,
    size: int = 160,
    train: int = 64,
    val: int = 8,
    test: int = 40,
    supersampling: int = 3,
) -> None:
    """Render the scene into the new folder `root`; the same bytes each time.

    The val and test views come with `r_N_depth.npy`: float32 distances along the unit rays
    through the pixels' centres in scene units, 0 where there is nothing. The test views are one
    closed orbit.

    Args:
        root: does not exist yet, or is empty; appears only when complete.
        size: width and height of the images in pixels.
        train, val, test: numbers of views.
        supersampling: rays along each side of a pixel.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(root.parent)
    made = unfinished(root)
    try:
        for split, poses in (
            ("train", spiral_poses(train, 5, 70)),
            ("val", spiral_poses(val, 10, 60, start=1.0)),
            ("test", orbit_poses(test)),
        ):
            (made / split).mkdir(parents=True)
            _write_split(made, split, poses, size, supersampling)
        try:
            os.replace(made, root)
        except OSError:
            # Another process (of a training on several GPUs) may have been faster.
            if _is_free(root):
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def spiral_poses(
    count: int, lowest: float, highest: float, start: float = 0.0
) -> Float[np.ndarray, "{count} 4 4"]:
    """Cameras spread evenly over a zone of the sphere: Fibonacci's spiral.

    Args:
        lowest, highest: elevations in degrees between which they lie.
        start: azimuth of the first in radians.
    """
    bottom, top = math.sin(math.radians(lowest)), math.sin(math.radians(highest))
    return np.stack(
        [
            _look_at_origin(
                start + i * _GOLDEN_ANGLE, math.asin(bottom + (top - bottom) * (i + 0.5) / count)
            )
            for i in range(count)
        ]
    )


def orbit_poses(count: int) -> Float[np.ndarray, "{count} 4 4"]:
    """One round trip whose elevation rises and falls by 10 degrees; the last leads to the first."""
    turns = [2 * math.pi * i / count for i in range(count)]
    return np.stack(
        [_look_at_origin(turn - 1.0, math.radians(27 + 10 * math.sin(turn))) for turn in turns]
    )


def _look_at_origin(azimuth: float, elevation: float) -> Float[np.ndarray, "4 4"]:
    """Camera-to-world of an upright camera (OpenGL axes) that looks at the origin, +z up."""
    cos_a, sin_a = math.cos(azimuth), math.sin(azimuth)
    cos_e, sin_e = math.cos(elevation), math.sin(elevation)
    pose = np.eye(4)
    pose[:3, 0] = -sin_a, cos_a, 0
    pose[:3, 1] = -sin_e * cos_a, -sin_e * sin_a, cos_e
    pose[:3, 2] = cos_e * cos_a, cos_e * sin_a, sin_e
    pose[:3, 3] = _DISTANCE * pose[:3, 2]
    return pose


def _write_split(
    root: Path, split: str, poses: Float[np.ndarray, "view 4 4"], size: int, supersampling: int
) -> None:
    world = still_life()
    focal = 0.5 * size / math.tan(0.5 * _CAMERA_ANGLE_X)
    intrinsics = torch.tensor([focal, focal, size / 2, size / 2])
    names = [f"./{split}/r_{index}" for index in range(len(poses))]
    # Several views at once: small ones alone would spend their time in calls.
    together = max(1, 160000 // size**2)
    for first in range(0, len(poses), together):
        c2w = torch.from_numpy(poses[first : first + together, :3])
        images = render(world, c2w.float(), intrinsics, (size, size), supersampling)
        for name, rgba in zip(names[first:], (255 * images + 0.5).byte().numpy(), strict=False):
            Image.fromarray(rgba).save(root / f"{name}.png")
        if split != "train":
            depths = render_depth(world, c2w, intrinsics, (size, size)).float().numpy()
            for name, depth in zip(names[first:], depths, strict=False):
                np.save(root / f"{name}_depth.npy", depth)
    frames = [
        {"file_path": name, "transform_matrix": pose.tolist()}
        for name, pose in zip(names, poses, strict=True)
    ]
    meta = {"camera_angle_x": _CAMERA_ANGLE_X, **_MARK, "frames": frames}
    text = json.dumps(meta, indent=1) + "\n"
    (root / f"transforms_{split}.json").write_text(text, encoding="utf-8")


def _is_free(root: Path) -> bool:
    return not root.exists() or (root.is_dir() and not any(root.iterdir()))


def _check(root: Path) -> None:
    """Raise UserError unless `root` is a whole demo scene."""
    splits = {
        split: _read_ours(root / f"transforms_{split}.json") for split in ("train", "val", "test")
    }
    if not any(splits.values()):
        raise UserError(
            f"{root}: exists and is not the demo scene; name a new folder with --root_dir, or the "
            "format of this one with --dataset_name"
        )
    for split, meta in splits.items():
        wanted = [f"transforms_{split}.json"]
        for frame in meta.get("frames", []):
            wanted.append(f"{frame['file_path']}.png")
            if split != "train":
                wanted.append(f"{frame['file_path']}_depth.npy")
        for name in wanted:
            if not (root / name).is_file():
                raise UserError(
                    f"{root}: this demo scene is incomplete ({name} is missing); delete the folder "
                    "to have it made again"
                )


def _read_ours(path: Path) -> dict[str, Any]:
    """The content of a transforms file that we wrote; empty for any other or none."""
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(meta, dict) and _MARK.items() <= meta.items()
    return meta if is_ours else {}
