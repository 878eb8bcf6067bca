"""Total variation: neighbours are drawn together, where the photos do not hold them apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..parallel import parallel, parts_for, unlocked
from .grid import VoxelGrid

# A table is gone through in so many steps, a part in each.
_PARTS = 8


@dataclass(frozen=True)
class Smoothing:
    """Moves each corner's value towards its neighbours' on the finest lattice.

    One step down the gradient of a sum of Huber functions of neighbours' differences: beyond
    `edge` a difference pulls no harder, so that surfaces stay. It is a step of its own, next to the
    optimizer's: Adam would make all pulls equally strong. The rate must stay well under 1 / 6,
    where six neighbours' pulls begin to overshoot.

    Args:
        rate: share of a difference that is evened out each time.
        edge: difference from which the pull is constant.
    """

    rate: float
    edge: float

    @torch.no_grad()
    def step(self, grid: VoxelGrid, table: Tensor, number: int, share: float = 1.0) -> None:
        """Smooth the `number`-th part of a table's finest level in place.

        Args:
            share: factor of the rate.
        """
        if self.rate == 0:
            return
        size = len(grid.levels[0].corners)
        begin, end = (size * (number % _PARTS + i) // _PARTS for i in (0, 1))
        count = parts_for(table.device)
        edges = [begin + (end - begin) * i // count for i in range(count + 1)]
        neighbours = grid.neighbours
        rate = self.rate * share
        pieces = list(pairwise(edges))
        pulls = parallel(lambda p: pull(table, neighbours, p[0], p[1], self.edge), pieces)
        for (first, last), change in zip(pieces, pulls, strict=True):
            table[first:last].add_(change, alpha=rate)


@unlocked
def pull(table: Tensor, neighbours: Tensor, begin: int, end: int, edge: float) -> Tensor:
    """The sum of the clamped differences to six neighbours, for rows from begin to end."""
    own = table[begin:end]
    total = torch.zeros_like(own)
    for direction in range(6):
        row = neighbours[direction, begin:end]
        total.add_(table.index_select(0, row).sub_(own).clamp_(-edge, edge))
    return total
