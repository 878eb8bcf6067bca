"""A random order of range(n) that takes no memory: position in, index out."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

_ROUNDS = 4


class Shuffle:
    """A keyed bijection of range(n), evaluated only where it is asked for.

    A Feistel network over the next even number of bits (Luby and Rackoff, 1988); values that
    fall outside range(n) are mapped again until they fall inside (cycle walking: Black and
    Rogaway, 2002). A stored permutation of the 64 million pixels of 100 photos would take half
    a gigabyte, and its state would have to be kept for an exact resume.
    """

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.half_bits = max(1, ((n - 1).bit_length() + 1) // 2)
        generator = torch.Generator().manual_seed(seed)
        self.keys = torch.randint(1 << 31, (_ROUNDS, 2), generator=generator).tolist()

    def __call__(self, position: Int[Tensor, "batch"]) -> Int[Tensor, "batch"]:
        """The indices at these positions of the shuffled order."""
        index = self._permute(position)
        outside = (index >= self.n).nonzero().squeeze(1)
        while len(outside):
            again = self._permute(index[outside])
            index[outside] = again
            outside = outside[again >= self.n]
        return index

    def _permute(self, x: Tensor) -> Tensor:
        mask = (1 << self.half_bits) - 1
        left, right = x >> self.half_bits, x & mask
        for multiplier, offset in self.keys:
            mixed = (right * (2 * multiplier + 1) + offset) & 0xFFFFFFFF
            mixed = (mixed ^ (mixed >> 15)) * 0x2C1B3C6D & 0xFFFFFFFF
            left, right = right, left ^ ((mixed ^ (mixed >> 13)) & mask)
        return (left << self.half_bits) | right
