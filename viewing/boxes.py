"""The crop box that a visitor begins with, and how far one sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from datasets.scene import Scene
from geometry.crop import CropBox, Vector
from geometry.poses import normalize
from geometry.rays import Bounds

# Of a forward-facing scene: the box reaches from the near plane to so many times its distance.
_DEEP = 9.0
# In halves of an object's box, what is nearer to the eye is not shown.
_NEAREST = 0.02


def upright_box(scene: Scene) -> CropBox:
    """The scene's region as a box that stands upright; its third side goes up.

    Of a forward-facing scene, what lies in front of the cameras, its second side going up.
    """
    ndc = scene.bounds.ndc
    if ndc is not None:
        deep = 0.5 * (_DEEP - 1) * ndc.near
        middle = -ndc.near - deep
        wide, high = (-middle / scale for scale in (ndc.scale_x, ndc.scale_y))
        return CropBox((0.0, 0.0, middle), (wide, high, deep))
    up = normalize(np.asarray(scene.up, dtype=float))
    aside = np.eye(3)[int(np.abs(up).argmin())]
    first = normalize(np.cross(aside, up))
    axes = np.stack([first, np.cross(up, first), up])
    region = scene.region
    assert region is not None  # load finds it
    return CropBox(region.center, region.half, (vector(axes[0]), vector(axes[1]), vector(axes[2])))


def part_of(box: CropBox, ranges: tuple[tuple[float, float], ...]) -> CropBox:
    """The part of a box between two places along each of its sides, in halves of them.

    Args:
        ranges: low and high of each side; all of it is (-1, 1), and more reaches beyond.
    """
    half = np.asarray(box.half)
    low, high = np.asarray(ranges).T
    center = np.asarray(box.center) + (0.5 * (low + high) * half) @ np.asarray(box.axes)
    sides = (0.5 * (high - low) * half).clip(1e-6)
    return CropBox(vector(center), vector(sides), box.axes)


def bounds_from(scene: Scene, position: Float[Tensor, "3"]) -> Bounds:
    """The bounds of rays from anywhere: a visitor may be nearer to an object, or farther away from
    it, than any photo. Where photos were taken they are the scene's own."""
    region, bounds = scene.region, scene.bounds
    if region is None or region.unbounded or bounds.ndc is not None:
        return bounds
    distance = float((position.cpu() - torch.tensor(region.center)).norm())
    half = max(region.half)
    near, far = max(_NEAREST * half, distance - half), distance + half
    return replace(bounds, near=min(bounds.near, near), far=max(bounds.far, far))


def vector(values: np.ndarray) -> Vector:
    """Three plain numbers."""
    x, y, z = (float(value) for value in values)
    return x, y, z
