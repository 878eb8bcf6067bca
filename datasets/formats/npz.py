"""The class-project file: images and poses in one .npz (images_train, c2ws_train, ..., focal)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.config import SceneConfig
from datasets.files.arrays import read_arrays
from datasets.files.finder import some
from datasets.files.numbers import matrix, positive
from datasets.formats.axes import with_opengl_axes
from datasets.formats.common import bounds_of, fit_intrinsics, object_bounds
from datasets.photos import Frame
from datasets.scene import Scene, scene_name
from errors import UserError
from geometry.cameras import make_cameras
from geometry.poses import Poses, check_poses, focus_point, looks_at, normalize, up_direction

# The arrays that are read; a file may hold others.
_NAMES = [*(f"{kind}_{split}" for kind in ("images", "c2ws") for split in ("train", "val", "test"))]
_NAMES += ["focal"]


def load_npz(config: SceneConfig) -> Scene:
    """Load an .npz file, or the only one in a folder.

    Its poses may have OpenCV's axes (+y down, looking down +z: the class's own formulas) or
    OpenGL's; the right one is that by which the cameras look at what they surround.
    """
    path = _file(Path(config.root_dir))
    arrays, found = read_arrays(path, _NAMES)
    focal = _focal(arrays, found, path)
    frames: list[Frame | None] = []
    poses: list[np.ndarray] = []
    sizes: list[tuple[int, int]] = []
    splits: dict[str, list[int]] = {}
    for split in ("train", "val", "test"):
        if f"c2ws_{split}" not in arrays:
            if split == "train":
                raise UserError(f"{path}: has no c2ws_train; found {some(found)}")
            continue
        c2ws = _poses(arrays, split, path)
        images = _images(arrays, split, path)
        if images is None and split != "test":
            raise UserError(f"{path}: has no images_{split}")
        if images is not None and len(images) != len(c2ws):
            raise UserError(
                f"{path}: {len(images)} images_{split} but {len(c2ws)} c2ws_{split}; "
                f"image {min(len(images), len(c2ws))} is the first without a partner"
            )
        splits[split] = list(range(len(poses), len(poses) + len(c2ws)))
        for i, pose in enumerate(c2ws):
            name = f"{split}_{i:03d}"
            size = sizes[0] if images is None else (images.shape[2], images.shape[1])
            frames.append(None if images is None else Frame(name, size, array=images[i]))
            poses.append(pose)
            sizes.append(size)
    splits.setdefault("val", splits["train"][::8])
    splits.setdefault("test", splits["val"])
    train = len(splits["train"])
    names = [f"{split} view {i}" for split, views in splits.items() for i in range(len(views))]
    c2w = check_poses(np.stack(poses), names[: len(poses)], path.name)
    c2w = with_opengl_axes(c2w, config.axes) if config.axes else _to_opengl(c2w, train, path)
    focus = focus_point(c2w[:train])
    distances = np.linalg.norm(c2w[:train, :, 3] - focus, axis=1)
    intrinsics = [
        fit_intrinsics((focal, focal, w / 2, h / 2), (w, h), (w, h), path) for w, h in sizes
    ]
    x, y, z = normalize(up_direction(c2w[:train])).tolist()
    return Scene(
        name=scene_name(path),
        cameras=make_cameras(c2w, intrinsics, sizes),
        frames=tuple(frames),
        splits=splits,
        bounds=bounds_of(object_bounds(distances), config, units=1.0),
        background=_background(arrays["images_train"]),
        foreground_only=True,
        up=(x, y, z),
    ).resized(config.img_wh)


def _file(root: Path) -> Path:
    if root.is_file():
        return root
    if not root.is_dir():
        raise UserError(f"{root}: no such file; --root_dir names the .npz file")
    files = sorted(root.glob("*.npz"))
    if len(files) != 1:
        raise UserError(f"{root}: has {len(files)} .npz files; name one with --root_dir")
    return files[0]


def _focal(arrays: dict[str, np.ndarray], found: list[str], path: Path) -> float:
    if "focal" not in arrays:
        raise UserError(f"{path}: has no focal; found {some(found)}")
    if arrays["focal"].size != 1:
        raise UserError(f"{path}: focal has shape {arrays['focal'].shape}, not one number")
    return positive(arrays["focal"].reshape(())[()], f"{path}: focal, in pixels,")


def _poses(arrays: dict[str, np.ndarray], split: str, path: Path) -> np.ndarray:
    c2ws = arrays[f"c2ws_{split}"]
    if c2ws.ndim != 3 or c2ws.shape[1:] not in ((4, 4), (3, 4)) or len(c2ws) == 0:
        raise UserError(f"{path}: c2ws_{split} has shape {c2ws.shape}, not (images, 4, 4)")
    return matrix(c2ws[:, :3], [c2ws[:, :3].shape], f"{path}: c2ws_{split}")


def _images(arrays: dict[str, np.ndarray], split: str, path: Path) -> np.ndarray | None:
    images = arrays.get(f"images_{split}")
    if images is None:
        return None
    if images.ndim != 4 or images.shape[3] not in (3, 4) or 0 in images.shape:
        raise UserError(
            f"{path}: images_{split} has shape {images.shape}, not (images, height, width, 3)"
        )
    if images.dtype.kind == "f":
        if not np.isfinite(images).all() or images.min() < 0 or images.max() > 1:
            raise UserError(f"{path}: images_{split} holds floats that are not within 0 and 1")
        return (images * 255 + 0.5).astype(np.uint8)
    if images.dtype != np.uint8:
        raise UserError(f"{path}: images_{split} holds {images.dtype}, not uint8")
    return images


def _to_opengl(c2w: Poses, train: int, path: Path) -> Poses:
    """Turn OpenCV's axes to OpenGL's where the cameras would else look away from the scene."""
    flipped = c2w * np.array([1.0, -1.0, -1.0, 1.0])
    # An axis and its opposite meet the others at the same point; only one looks at it.
    opencv = looks_at(flipped[:train], focus_point(c2w[:train])) > 0.5
    print(f"{path.name}: poses with {'OpenCV' if opencv else 'OpenGL'} axes")
    return flipped if opencv else c2w


def _background(images: np.ndarray) -> float:
    """White where the photos' frames are pure white, else black."""
    frame = np.concatenate([images[:, [0, -1]].reshape(-1), images[:, :, [0, -1]].reshape(-1)])
    full = 1.0 if images.dtype.kind == "f" else 255
    return 1.0 if np.median(frame) >= 0.99 * full else 0.0
