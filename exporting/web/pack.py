"""The bytes of a page's field: bricks of 8^3 cells, then the values of all corners.

Two zlib streams, one after the other. The first:

    bricks     uint32 each: position in the flattened lattice of bricks, rising
    masks      64 bytes a brick: bit k of byte 8 i + j says whether cell (i, j, k) is occupied

The second:

    planes     a byte for each corner: density, then each feature; corners rise in the flattened
               lattice of corners. The byte is the number of the value's level, less the one that
               neighbours lead to expect (`expected`), modulo the number of levels.

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

from models.voxels.grid import Level

from .quantise import Codes

BRICK = 8
# 28 bricks of 9 texels along each side of a texture of 256: what WebGL2 guarantees.
MOST_BRICKS = 28**3


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


def pack(bricks: Bricks, codes: Codes, corners: Level) -> tuple[bytes, bytes]:
    """The field's bytes, as zlib compresses them: bricks and planes.

    Args:
        corners: the grid's finest level, which lists them.
    """
    neighbours = _before(corners)
    numbers = codes.numbers().cpu().numpy()
    rest = np.empty_like(numbers)
    for channel, plane in enumerate(numbers):
        levels = 256 if channel == 0 else codes.levels
        rest[channel] = (plane - expected(plane, neighbours)) % levels
    cells = bricks.positions.astype("<u4").tobytes() + bricks.masks.tobytes()
    # Of what neighbours do not tell nothing repeats itself: to look for it takes a hundred times as
    # long, and more bytes.
    huffman = zlib.compressobj(9, memLevel=9, strategy=zlib.Z_HUFFMAN_ONLY)
    return zlib.compress(cells, 9), huffman.compress(rest.tobytes()) + huffman.flush()


def expected(
    plane: UInt8[np.ndarray, "corner"], neighbours: Int[np.ndarray, "3 corner"]
) -> Int[np.ndarray, "corner"]:
    """The mean of the neighbours that come before each corner, rounded down; 0 where none does.

    Args:
        neighbours: their numbers, -1 for none.
    """
    there = neighbours >= 0
    total = np.where(there, plane[neighbours].astype(np.int32), 0).sum(axis=0)
    mean: Int[np.ndarray, "corner"] = total // there.sum(axis=0).clip(min=1)
    return mean


def _before(corners: Level) -> Int[np.ndarray, "3 corner"]:
    """The corners one step back along z, y and x, by number; -1 where there is none.

    Steps are of the flattened lattice, whose rows of corners follow one another.
    """
    index = corners.corners.cpu().numpy()
    _, ny, nz = corners.dims
    found = np.empty((3, len(index)), dtype=np.int32)
    for axis, step in enumerate((1, nz, ny * nz)):
        place = np.searchsorted(index, index - step)
        found[axis] = np.where(index[place] == index - step, place, -1)
    return found


def occupied(bricks: Bricks) -> torch.Tensor:
    """The inverse of `bricks_of`, with whole bricks at the lattice's end: (x, y, z), bool."""
    bx, by, bz = bricks.dims
    flat = np.zeros((bx * by * bz, BRICK**3), dtype=bool)
    flat[bricks.positions] = np.unpackbits(bricks.masks, axis=1, bitorder="little")
    cells = torch.from_numpy(flat).view(bx, by, bz, BRICK, BRICK, BRICK)
    return cells.permute(0, 3, 1, 4, 2, 5).reshape(bx * BRICK, by * BRICK, bz * BRICK)
