"""The intrinsics of a transforms file: fl_x, camera_angle_x or K, for all photos or for one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from datasets.files.numbers import matrix, number_of, positive
from datasets.formats.common import Intrinsics
from datasets.photos import photo_size
from errors import UserError

_FOCAL = ("fl_x", "camera_angle_x", "K")


def level_of(frame: dict[str, Any], meta: dict[str, Any], where: str) -> dict[str, Any]:
    """The frame, or what stands above all frames: where the focal length is given.

    Intrinsics belong to the photo size that stands beside them; the photo may be smaller. A 3x3
    matrix "K" is read as the fl_x, fl_y, cx and cy that it holds.
    """
    level = frame if any(frame.get(key) is not None for key in _FOCAL) else meta
    if level.get("K") is None or level.get("fl_x") is not None:
        return level
    k = matrix(level["K"], ((3, 3), (3, 4), (4, 4)), f'{where}: "K"')
    lens = {"fl_x": k[0, 0], "fl_y": k[1, 1], "cx": k[0, 2], "cy": k[1, 2]}
    return {**level, **{key: float(value) for key, value in lens.items()}}


def declared_size(
    level: dict[str, Any], own: dict[str, Any], photo: Path, where: str
) -> tuple[float, float]:
    """Width and height that the intrinsics are for; those of the photo where none are given."""
    for source in (level, own):
        if source.get("w") is not None and source.get("h") is not None:
            return positive(source["w"], f'{where}: "w"'), positive(source["h"], f'{where}: "h"')
    width, height = photo_size(photo)[0]
    return float(width), float(height)


def intrinsics_of(
    level: dict[str, Any], own: dict[str, Any], size: tuple[float, float], where: str
) -> Intrinsics:
    """fx, fy, cx, cy in pixels of a photo of `size`."""
    width, height = size
    if level.get("fl_x") is not None:
        fx = number_of(level, "fl_x", where)
        fy = number_of(level, "fl_y", where, fx)
    elif level.get("camera_angle_x") is not None:
        fx = 0.5 * width / math.tan(0.5 * _angle(level, "camera_angle_x", where))
        fy = fx
        if level.get("camera_angle_y") is not None:
            fy = 0.5 * height / math.tan(0.5 * _angle(level, "camera_angle_y", where))
    else:
        raise UserError(f'{where}: neither "fl_x", "camera_angle_x" nor "K" gives the focal length')
    source = level if level.get("cx") is not None else own
    cx, cy = number_of(source, "cx", where, width / 2), number_of(source, "cy", where, height / 2)
    if not (fx > 0 and fy > 0):
        raise UserError(f"{where}: the focal length must be positive, not {fx:.4g}, {fy:.4g}")
    return fx, fy, cx, cy


def _angle(level: dict[str, Any], key: str, where: str) -> float:
    angle = number_of(level, key, where)
    if not 0 < angle < math.pi:
        raise UserError(f'{where}: "{key}" must be between 0 and pi, in radians, not {angle:.4g}')
    return angle
