"""A scene's cameras as a transforms.json: what refined them hands them on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from datasets.formats.transforms import DISTORTION, FISHEYE
from datasets.photos import Frame, photo_size
from datasets.scene import Scene
from errors import UserError
from geometry.cameras import Cameras
from geometry.poses import apply

_SPLITS = ("train", "val", "test")


def transforms_of(scene: Scene, given: Cameras, path: Path) -> dict[str, Any]:
    """All cameras of a scene that have a photo, in the coordinates of its files.

    The photos stay where they are; their paths are relative to the file. A lens whose distortion
    was undone in the photos and one that was refined after that become one.

    Args:
        scene: with its photos, and cameras to write.
        path: of the file.
        given: the cameras before their lens was refined.

    Raises UserError where photos are no files, or have a fisheye lens that was refined.
    """
    poses = scene.cameras.c2w.double().numpy()
    if scene.to_input is not None:
        poses = apply(scene.to_input, poses)
    frames: dict[int, dict[str, Any]] = {}
    for index, frame in enumerate(scene.frames):
        if frame is None:
            continue
        if frame.path is None:
            raise UserError(f"{scene.name}: its photos are no files that a frame can name")
        factor = float(scene.cameras.intrinsics[index, 0] / given.intrinsics[index, 0])
        radial = scene.cameras.radial
        lens = [0.0, 0.0] if radial is None else radial[index].tolist()
        intrinsics = given.intrinsics[index].tolist()
        frames[index] = {
            "file_path": _relative(frame.path, path),
            "transform_matrix": [*poses[index].tolist(), [0.0, 0.0, 0.0, 1.0]],
            **_lens_of(frame, intrinsics, factor, lens),
        }
        if frame.mask_path is not None and not frame.mask_is_alpha:
            frames[index]["mask_path"] = _relative(frame.mask_path, path)
    names = {
        f"{split}_filenames": [
            frames[index]["file_path"] for index in scene.splits.get(split, []) if index in frames
        ]
        for split in _SPLITS
    }
    return {**names, "frames": list(frames.values())}


def _relative(photo: Path, path: Path) -> str:
    return Path(os.path.relpath(photo.resolve(), path.resolve().parent)).as_posix()


def _lens_of(
    frame: Frame, intrinsics: list[float], factor: float, radial: list[float]
) -> dict[str, Any]:
    """The lens of a photo as it is stored.

    Args:
        intrinsics: of the photo as it is read,
        factor: of the focal length, and
        radial: k1 and k2, that were refined for it.
    """
    if frame.lens is None:
        fx, fy, cx, cy = intrinsics
        width, height = frame.size
        terms = dict(zip(("k1", "k2"), radial, strict=True))
    else:
        if frame.lens.fisheye and (factor != 1 or any(radial)):
            raise UserError(
                f"{frame.path}: a fisheye lens that was refined has no such form; undistort the "
                "photos first"
            )
        assert frame.path is not None
        width, height = photo_size(frame.path)[int(frame.upright)]
        matrix = frame.lens.matrix
        fx, fy = matrix[0, 0], matrix[1, 1]
        cx, cy = matrix[0, 2] + 0.5, matrix[1, 2] + 0.5
        terms = {"is_fisheye": True} if frame.lens.fisheye else {}
        coefficients = frame.lens.coefficients.tolist()
        if not frame.lens.fisheye:
            coefficients = compose(coefficients, factor, radial)
        names = FISHEYE if frame.lens.fisheye else DISTORTION
        terms |= dict(zip(names, coefficients, strict=False))
    sides = {"w": width, "h": height, "cx": cx, "cy": cy}
    return {**sides, "fl_x": fx * factor, "fl_y": fy * factor, **terms}


def compose(coefficients: list[float], factor: float, radial: list[float]) -> list[float]:
    """k1, k2, p1, p2 and k3 of two lenses, one behind the other, up to the sixth power of r.

    The photo's own lens distorts n = q g(r) r, with q the factor of the focal length and
    g(r) = 1 + a r^2 + b r^4 the refined lens. With s = r^2, polynomials in s are multiplied out.

    Args:
        coefficients: of the photo's own lens, in OpenCV's order.
        factor, radial: q, and a and b.
    """
    k1, k2, p1, p2, k3 = [*coefficients, 0.0, 0.0, 0.0, 0.0, 0.0][:5]
    s = np.polynomial.Polynomial([0.0, 1.0])
    g = np.polynomial.Polynomial([1.0, *radial])
    n = factor**2 * g**2 * s  # |n|^2
    both = g * (1 + k1 * n + k2 * n**2 + k3 * n**3)
    _, first, second, third = [*both.coef, 0.0, 0.0, 0.0][:4]
    return [float(x) for x in (first, second, p1 * factor, p2 * factor, third)]
