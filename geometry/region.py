"""The part of space that a scene fills."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from geometry.cameras import Cameras
from geometry.poses import focus_point, looks_at
from geometry.rays import Bounds, cast_rays

# Half the side of the inner cube of an unbounded scene, in distances of the cameras from where
# they look. Space is divided evenly inside it, and ever more coarsely outside.
_INNER = 0.4
_MARGIN = 1.03
_Z_ANISOTROPY = 3.0
_NEAR_CLIP = 0.55
# Pixels of all photos together for each square, as wide as a pixel is taken to be, of a face of an
# object's box: fewer do not fill cells as fine. Of a toy, cut out of 25 photos of 360x800 (7.2
# million pixels), held-out photos had 28.5 dB with 512 cells along the box, 29.0 with 384 and 28.7
# with 256.
_PIXELS_PER_FOOTPRINT = 68.0
# Names of fields in checkpoints without a format version.
_FORMER_NAMES = {"flat": "z_anisotropy", "clear": "near_clip", "pixel": "pixel_footprint"}


@dataclass(frozen=True)
class Region:
    """A box around the scene, in the coordinates of its rays (NDC for forward-facing ones).

    Args:
        center: of the box.
        half: half its sides. With `unbounded`, they are equal.
        unbounded: the scene goes on outside the box, which then is the part that is shown
            in full detail.
        z_anisotropy: length over width of a grid's cells along z: NDC's z is disparity, whose
            resolution is that of the parallax between the photos, not of their pixels.
        pixel_footprint: side of what a photo's pixel covers in the middle of the box; longer where
            the photos are too few to resolve as much.
        near_clip: distance from a camera within which the scene is empty.
    """

    center: tuple[float, float, float]
    half: tuple[float, float, float]
    unbounded: bool = False
    z_anisotropy: float = 1.0
    pixel_footprint: float = 0.01
    near_clip: float = 0.0

    @property
    def pixels_across(self) -> float:
        """Cells along the longest side that are a little finer than the photos' pixels."""
        return 2 * max(self.half) / (0.86 * self.pixel_footprint)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Region:
        """The region that `dataclasses.asdict` made plain values of; also by its former names."""
        kept: dict[str, Any] = {
            _FORMER_NAMES.get(name, name): tuple(v) if isinstance(v, list) else v
            for name, v in values.items()
        }
        return Region(**kept)


def find_region(
    cameras: Cameras, bounds: Bounds, foreground_only: bool, near_is_known: bool = False
) -> Region:
    """The box that the training photos show.

    Args:
        cameras: of the training photos.
        bounds: of their rays.
        foreground_only: there is nothing but an object where the cameras look.
        near_is_known: the bounds say how near things are; otherwise they are a guess.
    """
    if bounds.ndc is not None:
        # From the near plane to infinity, as wide as the cameras' frusta are together.
        image = torch.arange(len(cameras)).repeat_interleave(4)
        right, bottom = (cameras.size[image] - 1).unbind(1)
        x = right * torch.tensor([0, 1, 0, 1]).repeat(len(cameras))
        y = bottom * torch.tensor([0, 0, 1, 1]).repeat(len(cameras))
        rays = cast_rays(cameras, bounds, image, x, y)
        ends = rays.points(torch.stack([rays.near, rays.far], dim=1))
        wide, high, _ = ends.abs().flatten(0, 1).amax(dim=0).tolist()
        pixel = 2.0 / float(cameras.size[:, 0].float().median())
        return Region(
            (0.0, 0.0, 0.0), (wide, high, 1.0), z_anisotropy=_Z_ANISOTROPY, pixel_footprint=pixel
        )

    poses = cameras.c2w.double().numpy()
    focus = torch.from_numpy(focus_point(poses)).float()
    distance = (cameras.c2w[:, :, 3] - focus).norm(dim=1)
    width, height = cameras.size.unbind(1)
    fx, fy = cameras.intrinsics[:, 0], cameras.intrinsics[:, 1]
    if foreground_only:  # an object is within what the photos show of the place where they look
        shown = distance * torch.maximum(width / fx, height / fy) / 2
        half = _MARGIN * float(shown.median())
    else:
        half = _INNER * float(distance.median())
    x, y, z = focus.tolist()
    pixel = float((distance / torch.minimum(fx, fy)).median())
    if foreground_only:
        pixel = max(
            pixel, 2 * half * math.sqrt(_PIXELS_PER_FOOTPRINT / int((width * height).sum()))
        )
    # A subject that cameras look at from all around has nothing half as near as itself.
    near_clip = 0.0
    if not foreground_only and not near_is_known and looks_at(poses, focus.numpy()) > 0.9:
        near_clip = _NEAR_CLIP * float(distance.median())
    return Region(
        (x, y, z),
        (half, half, half),
        not foreground_only,
        pixel_footprint=pixel,
        near_clip=near_clip,
    )
