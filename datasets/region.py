"""The part of space that a scene fills."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from .poses import focus_point, looks_at
from .rays import cast_rays

if TYPE_CHECKING:
    from .scene import Scene

# Half the side of the inner cube of an unbounded scene, in distances of the cameras from where
# they look. Space is divided evenly inside it, and ever more coarsely outside.
_INNER = 0.4
_MARGIN = 1.03
_FLAT = 3.0
_CLEAR = 0.55
# Pixels of all photos together for each square, as wide as a pixel is taken to be, of a face of an
# object's box: fewer do not fill cells as fine. Of a toy, cut out of 25 photos of 360x800 (7.2
# million pixels), held-out photos had 28.5 dB with 512 cells along the box, 29.0 with 384 and 28.7
# with 256.
_PIXELS = 68.0


@dataclass(frozen=True)
class Region:
    """A box around the scene, in the coordinates of its rays (NDC for forward-facing ones).

    Args:
        center: of the box.
        half: half its sides. With `unbounded`, they are equal.
        unbounded: the scene goes on outside the box, which then is the part that is shown
            in full detail.
        flat: how many times as long as wide a grid's cells are along z: NDC's z is disparity,
            whose resolution is that of the parallax between the photos, not of their pixels.
        pixel: the side of what a photo's pixel shows in the middle of the box; longer where photos
            are too few to tell what is as small.
        clear: nothing is expected so near to a camera: what is there would be fog.
    """

    center: tuple[float, float, float]
    half: tuple[float, float, float]
    unbounded: bool = False
    flat: float = 1.0
    pixel: float = 0.01
    clear: float = 0.0

    @staticmethod
    def from_plain(values: dict[str, Any]) -> Region:
        """The region that `dataclasses.asdict` made plain values of."""
        kept: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in values.items()
        }
        return Region(**kept)


def find_region(scene: Scene, near_is_known: bool = False) -> Region:
    """The box that the training photos show.

    Args:
        near_is_known: the scene's bounds tell how near things are; otherwise they are a guess.
    """
    cameras = scene.cameras[scene.splits["train"]]
    if scene.bounds.ndc is not None:
        # From the near plane to infinity, as wide as the cameras' frusta are together.
        image = torch.arange(len(cameras)).repeat_interleave(4)
        right, bottom = (cameras.size[image] - 1).unbind(1)
        x = right * torch.tensor([0, 1, 0, 1]).repeat(len(cameras))
        y = bottom * torch.tensor([0, 0, 1, 1]).repeat(len(cameras))
        rays = cast_rays(cameras, scene.bounds, image, x, y)
        ends = rays.points(torch.stack([rays.near, rays.far], dim=1))
        wide, high, _ = ends.abs().flatten(0, 1).amax(dim=0).tolist()
        pixel = 2.0 / float(cameras.size[:, 0].float().median())
        return Region((0.0, 0.0, 0.0), (wide, high, 1.0), flat=_FLAT, pixel=pixel)

    poses = cameras.c2w.double().numpy()
    focus = torch.from_numpy(focus_point(poses)).float()
    distance = (cameras.c2w[:, :, 3] - focus).norm(dim=1)
    width, height = cameras.size.unbind(1)
    fx, fy = cameras.intrinsics[:, 0], cameras.intrinsics[:, 1]
    if scene.cutout:  # an object is within what the photos show of the place where they look
        shown = distance * torch.maximum(width / fx, height / fy) / 2
        half = _MARGIN * float(shown.median())
    else:
        half = _INNER * float(distance.median())
    x, y, z = focus.tolist()
    pixel = float((distance / torch.minimum(fx, fy)).median())
    if scene.cutout:
        pixel = max(pixel, 2 * half * math.sqrt(_PIXELS / int((width * height).sum())))
    # A subject that cameras look at from all around has nothing half as near as itself.
    clear = 0.0
    if not scene.cutout and not near_is_known and looks_at(poses, focus.numpy()) > 0.9:
        clear = _CLEAR * float(distance.median())
    return Region((x, y, z), (half, half, half), not scene.cutout, pixel=pixel, clear=clear)
