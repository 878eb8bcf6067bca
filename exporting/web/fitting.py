"""Fits a field to the size of its page."""

from __future__ import annotations

import math
from dataclasses import dataclass

from datasets.scene import Scene
from errors import UserError
from geometry.cameras import Cameras
from models.voxels.field import VoxelField

from .corners import Corners, merged_corners
from .pack import MOST_BRICKS, Bricks, bricks_of, pack
from .quantise import Codes, coarser, dequantised, quantise
from .visibility import largest_weights, most_visible

# What a page has beside the field's bytes.
_OVERHEAD = 200_000
# Photos, and rays of each, that tell whether there is anything to show.
_LOOKED_AT, _LOOKED_AT_RAYS = 6, 2000
# Features may have so few levels before cells are left out.
LEVELS = (256, 128, 64, 32)


@dataclass(frozen=True)
class Packed:
    """A field as a page holds it: its corners as they are shown, and the bytes.

    Attributes:
        streams: of pack.
        kept: share of the field's cells.
        levels: of features.
    """

    corners: Corners
    codes: Codes
    bricks: Bricks
    streams: tuple[bytes, bytes]
    kept: float
    levels: int

    @property
    def content(self) -> bytes:
        return b"".join(self.streams)


def fit(field: VoxelField, photos: Cameras, scene: Scene, most_megabytes: float) -> Packed:
    """The field in so many megabytes: with fewer levels of colour, then without the cells that
    show least.

    Raises:
        UserError: nothing in the field is visible, or hardly any of it would fit.
    """
    some = photos[:: 1 + len(photos) // _LOOKED_AT]
    seen = largest_weights(field, some, scene.bounds, _LOOKED_AT_RAYS)
    if not bool((seen > field.recipe.prune_threshold).any()):
        raise UserError(f"there is nothing in {scene.name} that a photo's camera would show")
    limit = (most_megabytes * 1e6 - _OVERHEAD) * 3 / 4  # base64 takes four bytes for three
    packed = None
    corners = merged_corners(field)
    bricks = bricks_of(field.grid.mask)
    if len(bricks.positions) <= MOST_BRICKS:
        codes = quantise(corners)
        for levels in LEVELS:
            packed = _packed(corners, bricks, coarser(codes, levels), 1.0)
            if len(packed.content) <= limit:
                return packed
    weights = largest_weights(field, photos, scene.bounds)
    share = 1.0
    for _ in range(12):
        # Fewer cells share fewer corners: a little less than in proportion.
        share *= 0.9 if packed is None else min(0.95, 0.97 * limit / len(packed.content))
        mask = most_visible(field.grid, weights, share)
        if not bool(mask.any()):
            break
        bricks = bricks_of(mask)
        if len(bricks.positions) > MOST_BRICKS:
            packed = None
            continue
        corners = merged_corners(field, mask)
        kept = len(corners.grid) / len(field.grid)
        packed = _packed(corners, bricks, coarser(quantise(corners), LEVELS[-1]), kept)
        if len(packed.content) <= limit:
            return packed
    text = f"--web_mb {most_megabytes:g} is too little for {scene.name}"
    if packed is not None:
        enough = (len(packed.content) * 4 / 3 + _OVERHEAD) / 1e6
        text += f"; {math.ceil(10 * enough) / 10:g} is enough for the least of it"
    raise UserError(text)


def _packed(corners: Corners, bricks: Bricks, codes: Codes, kept: float) -> Packed:
    streams = pack(bricks, codes, corners.grid.levels[0])
    return Packed(dequantised(corners, codes), codes, bricks, streams, kept, codes.levels)
