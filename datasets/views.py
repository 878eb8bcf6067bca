"""What all loaders decide alike: intrinsics for a photo's size, bounds, held-out views."""

from __future__ import annotations

import numpy as np

from errors import UserError
from opt import SceneOptions

from .cameras import Cameras
from .ndc import NDC
from .poses import Poses, focus_point, world_up
from .rays import Bounds

Intrinsics = tuple[float, float, float, float]  # fx, fy, cx, cy in pixels


def fit_intrinsics(
    intrinsics: Intrinsics, declared: tuple[float, float], size: tuple[int, int]
) -> Intrinsics:
    """Intrinsics of a photo of `size` from those that a file declares for another size.

    Each axis scales by itself: photos that were resized by odd factors stay right. Width and
    height swapped in the file (they are, in some) are swapped back.
    """
    fx, fy, cx, cy = intrinsics
    (width, height), (declared_width, declared_height) = size, declared
    if not (declared_width > 0 and declared_height > 0):
        raise UserError(f"a photo size of {declared_width} x {declared_height} is declared")
    wide, declared_wide = width / height, declared_width / declared_height
    if abs(np.log(wide * declared_wide)) < 0.5 * abs(np.log(wide / declared_wide)):
        fx, fy, cx, cy = fy, fx, cy, cx
        declared_width, declared_height = declared_height, declared_width
    x, y = width / declared_width, height / declared_height
    return fx * x, fy * y, cx * x, cy * y


def bounds_of(
    default: tuple[float, float], options: SceneOptions, units: float, ndc: NDC | None = None
) -> Bounds:
    """Near and far in scene units; options give them in the input's units.

    Args:
        default: near and far in scene units.
        units: length of a scene unit in the input's units.
    """
    near = default[0] if options.near is None else options.near / units
    far = default[1] if options.far is None else options.far / units
    if not 0 <= near < far:
        raise UserError(
            f"near {near * units:.4g} is not under far {far * units:.4g}; set --near and --far"
        )
    return Bounds(near, far, ndc)


def forward_facing_bounds(cameras: Cameras, options: SceneOptions, units: float) -> Bounds:
    """NDC from the plane z = -1 to infinity, or to --far."""
    fx, fy = cameras.intrinsics[:, :2].mean(0).tolist()
    width, height = cameras.size[0].tolist()
    far = 1.0
    if options.far is not None:
        far = 1.0 - units / options.far  # the NDC parameter of the plane z = -far
        if far <= 0:
            raise UserError(f"--far {options.far:.4g} is not beyond the near plane, {units:.4g}")
    return Bounds(0.0, far, NDC(2 * fx / width, 2 * fy / height))


def around_subject(poses: Poses) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The frame of a scene with cameras around a subject, whose scale networks take well.

    The origin is where the cameras look, the unit their mean distance from there; the axes stay.

    Returns:
        the similarity (4, 4) to the input's coordinates, and up.
    """
    centre = focus_point(poses)
    scale = float(np.linalg.norm(poses[:, :, 3] - centre, axis=1).mean())
    if not scale > 0:
        raise UserError("all cameras stand at one point: a scene needs several places")
    to_input = np.diag([scale, scale, scale, 1.0])
    to_input[:3, 3] = centre
    x, y, z = world_up(poses).tolist()
    return to_input, (x, y, z)


def hold_out(count: int, holdout: int) -> dict[str, list[int]]:
    """Every `holdout`-th view is for testing, the rest for training; 0 trains on all.

    Validation looks at the test views; where there are none, at some of the training views.
    """
    views = list(range(count))
    test = views[::holdout] if holdout else []
    train = [i for i in views if i not in set(test)]
    if not train:
        raise UserError(f"{count} photos and --holdout {holdout} leave none to train on")
    return {"train": train, "val": test or views[::8], "test": test}


def object_bounds(distances: np.ndarray) -> tuple[float, float]:
    """Near and far for an object that cameras look at, from the cameras' distances to it.

    The paper's synthetic scenes have cameras at 4 and are sampled from 2 to 6; others likewise.
    """
    if distances.min() >= 3 and distances.max() <= 5:
        return 2.0, 6.0
    return 0.5 * float(distances.min()), 1.5 * float(distances.max())
