"""The bytes of a page's field: bricks of 8^3 cells, then the values of all corners.

    bricks     uint32 each: position in the flattened lattice of bricks, rising
    masks      64 bytes a brick: bit k of byte 8 i + j says whether cell (i, j, k) is occupied
    planes     a byte for each corner: density, then each feature; corners rise in the flattened
               lattice of corners

Which corners there are follows from the cells. The page expands bricks to 9^3 texels, so that the
corners that neighbours share are in each of them, and a brick is interpolated by itself.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from .quantise import Codes

BRICK = 8
# 28 bricks of 9 texels along each side of a texture of 256: what WebGL2 guarantees.
MOST_BRICKS = 28**3
_LEVEL = 9


@dataclass(frozen=True)
class Bricks:
    """The bricks that hold an occupied cell.

    Attributes:
        dims: bricks along x, y and z.
        positions: in the flattened lattice of bricks.
        masks: (brick, 64), a bit for each cell.
    """

    dims: tuple[int, int, int]
    positions: Int[np.ndarray, "brick"]
    masks: UInt8[np.ndarray, "brick 64"]


def bricks_of(mask: Bool[Tensor, "x y z"]) -> Bricks:
    """The bricks of occupied cells."""
    nx, ny, nz = mask.shape
    padded = F.pad(mask.cpu(), (0, -nz % BRICK, 0, -ny % BRICK, 0, -nx % BRICK))
    cells = padded.unfold(0, BRICK, BRICK).unfold(1, BRICK, BRICK).unfold(2, BRICK, BRICK)
    bx, by, bz = cells.shape[:3]
    flat = cells.reshape(-1, BRICK**3)
    positions = flat.any(dim=1).nonzero().squeeze(1)
    bits = np.packbits(flat[positions].numpy(), axis=1, bitorder="little")
    return Bricks((bx, by, bz), positions.numpy(), bits)


def pack(bricks: Bricks, codes: Codes) -> bytes:
    """The field's bytes, as zlib compresses them."""
    content = (
        bricks.positions.astype("<u4").tobytes()
        + bricks.masks.tobytes()
        + codes.planes.cpu().contiguous().numpy().tobytes()
    )
    return zlib.compress(content, _LEVEL)


def occupied(bricks: Bricks) -> torch.Tensor:
    """The inverse of `bricks_of`, with whole bricks at the lattice's end: (x, y, z), bool."""
    bx, by, bz = bricks.dims
    flat = np.zeros((bx * by * bz, BRICK**3), dtype=bool)
    flat[bricks.positions] = np.unpackbits(bricks.masks, axis=1, bitorder="little")
    cells = torch.from_numpy(flat).view(bx, by, bz, BRICK, BRICK, BRICK)
    return cells.permute(0, 3, 1, 4, 2, 5).reshape(bx * BRICK, by * BRICK, bz * BRICK)
