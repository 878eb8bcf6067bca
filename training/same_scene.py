"""Whether a checkpoint's scene is the one that is trained on: names and poses of the photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import torch

from datasets.scene import Scene
from geometry.cameras import Cameras

# Poses of one scene differ by rounding alone: shares of the cameras' extent, entries of rotations.
_MOVED, _TURNED = 0.02, 0.02
# A scene that photos were added to or taken from shares at least this part of the smaller set.
_SHARED = 0.5

Names = Sequence[str | None]


def is_same_scene(kept: Scene, names: Names, scene: Scene) -> bool:
    """Whether the cameras of a checkpoint are those of the scene's files.

    Where the folder lies, and at which size its photos are read, makes no difference.

    Args:
        kept: the checkpoint's scene.
        names: of its photos, camera by camera; empty where the checkpoint does not tell.
        scene: of the files.
    """
    here = [None if frame is None else frame.name for frame in scene.frames]
    pairs = _pairs(names, here)
    if len(pairs) >= max(1.0, _SHARED * min(len(names), len(here))) and list(names) != here:
        first, second = zip(*pairs, strict=True)
        return _same_poses(kept.cameras[list(first)], scene.cameras[list(second)])
    # Names are unknown, or those of reduced copies (images_8): the poses alone tell.
    return len(kept.cameras) == len(here) and _same_poses(kept.cameras, scene.cameras)


def _pairs(first: Names, second: Names) -> list[tuple[int, int]]:
    """Cameras whose photos have the same name: without ending and folders where that is unique."""
    one, other = (
        {PurePosixPath(name).stem: i for i, name in enumerate(side) if name}
        for side in (first, second)
    )
    if len(one) != sum(map(bool, first)) or len(other) != sum(map(bool, second)):
        one, other = ({name: i for i, name in enumerate(side) if name} for side in (first, second))
    return [(i, other[name]) for name, i in one.items() if name in other]


def _same_poses(first: Cameras, second: Cameras) -> bool:
    one, other = first.c2w.double(), second.c2w.double()
    centre = one[:, :, 3].mean(dim=0)
    extent = float(torch.linalg.vector_norm(one[:, :, 3] - centre, dim=1).max())
    extent = max(extent, 1e-3)  # of a single camera, or one that turns on the spot
    moved = torch.linalg.vector_norm(one[:, :, 3] - other[:, :, 3], dim=1).max()
    turned = (one[:, :, :3] - other[:, :, :3]).abs().max()
    return bool(moved <= _MOVED * extent and turned <= _TURNED)
