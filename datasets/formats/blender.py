"""The NeRF paper's synthetic scenes: transforms_{train,val,test}.json, RGBA on white."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.config import SceneConfig
from datasets.formats.axes import tell_axes, with_opengl_axes
from datasets.formats.common import bounds_of, object_bounds, tell_sizes
from datasets.formats.transforms import View, read_transforms, read_views
from datasets.scene import Scene, scene_name
from errors import UserError
from geometry.cameras import make_cameras
from geometry.poses import check_poses, focus_point, looks_at


def load_blender(config: SceneConfig) -> Scene:
    """Load a folder as Blender wrote it; the scene keeps the file's coordinates, +z up.

    Without a val or test file, the other stands in for it.
    """
    root = Path(config.root_dir)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; is --root_dir right?")
    if not (root / "transforms_train.json").exists() and (root / "transforms.json").exists():
        raise UserError(f"{root}: there is one transforms.json; use --dataset_name transforms")
    views: list[View] = []
    poses: list[np.ndarray] = []
    splits: dict[str, list[int]] = {}
    for split in ("train", "val", "test"):
        path = root / f"transforms_{split}.json"
        if split != "train" and not path.exists():
            continue
        read = read_views(read_transforms(path), path)
        splits[split] = list(range(len(views), len(views) + len(read)))
        views += read
        names = [view.frame.name for view in read]
        poses.append(check_poses(np.stack([view.pose for view in read]), names, path.name))
    splits.setdefault("val", splits.get("test", splits["train"][::8]))
    splits.setdefault("test", splits["val"])
    c2w = with_opengl_axes(np.concatenate(poses), config.axes)
    if config.axes is None:
        tell_axes(c2w, root.name)
    tell_sizes(root.name, [view.declared for view in views], [view.frame.size for view in views])
    distances = np.linalg.norm(c2w[:, :, 3] - _object(c2w), axis=1)
    return Scene(
        name=scene_name(root),
        cameras=make_cameras(
            c2w, [view.intrinsics for view in views], [view.frame.size for view in views]
        ),
        frames=tuple(view.frame for view in views),
        splits=splits,
        bounds=bounds_of(object_bounds(distances), config, units=1.0),
        background=1.0,
        foreground_only=True,
        up=(0.0, 0.0, 1.0),
    ).resized(config.img_wh)


def _object(c2w: np.ndarray) -> np.ndarray:
    """Where the object is: at the origin, unless all cameras look at a place far from it."""
    focus = focus_point(c2w)
    distance = np.median(np.linalg.norm(c2w[:, :, 3] - focus, axis=1))
    far_off = np.linalg.norm(focus) > 0.5 * distance
    return focus if far_off and looks_at(c2w, focus) == 1 else np.zeros(3)
