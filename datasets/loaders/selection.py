"""The pixels that no mask leaves out, by their number among themselves."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad

_BLOCK = 16  # pixels
# Up to so many pixels their table, which is the faster, is small beside the photos of a scene.
_TABLE = 100_000_000


class Selection:
    """What `valid.nonzero()[index]` gives, without its table, of eight bytes a pixel.

    The pixels are counted by blocks: an index leads to its block by a binary search, and to the
    pixel by counting within the block.

    Args:
        valid: True for the pixels to be chosen from.
    """

    def __init__(self, valid: Bool[Tensor, "pixel"]) -> None:
        rest = -len(valid) % _BLOCK
        self.blocks = (pad(valid, (0, rest)) if rest else valid).view(-1, _BLOCK)
        kind = torch.int32 if len(valid) < 2**31 else torch.int64
        ends = self.blocks.sum(dim=1, dtype=kind).cumsum(dim=0, dtype=kind)
        self.starts = torch.cat([ends.new_zeros(1), ends])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: Int[Tensor, "ray"]) -> Int[Tensor, "ray"]:
        index = index.to(self.starts.dtype)
        block = torch.searchsorted(self.starts, index, right=True) - 1
        within = (index - self.starts[block]).to(torch.int8)[:, None]
        counted = self.blocks[block].cumsum(dim=1, dtype=torch.int8)
        return block * _BLOCK + (counted <= within).sum(dim=1)


def select(valid: Bool[Tensor, "pixel"]) -> Selection | Int[Tensor, "chosen"]:
    """The pixels that are True, to be indexed; in little memory where there are many."""
    return Selection(valid) if len(valid) > _TABLE else valid.nonzero().squeeze(1)
