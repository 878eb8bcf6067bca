"""Total variation: neighbours are drawn together, where the photos do not hold them apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..parallel import turn, unlocked
from .grid import VoxelGrid


@dataclass(frozen=True)
class Smoothing:
    """Moves each corner's value towards its neighbours' on the finest lattice.

    One step down the gradient of a sum of Huber functions of neighbours' differences: beyond
    `edge` a difference pulls no harder, so that surfaces stay. It is a step of its own, next to the
    optimizer's: Adam would make all pulls equally strong.

    Args:
        rate: share of a difference that is evened out each time. It must stay under 1 / 6, where
            six neighbours' pulls overshoot as far as they were off.
        edge: difference from which the pull is constant.
        parts: a table is gone through in so many steps of a processor, a part in each. Twice as
            often at half the rate is the same, and twice as much work. A GPU's steps, with more
            samples, smooth as much more (not by what a step really took: --batch_size and several
            processes change nothing here). On the toy on a floor, four times the samples with no
            more smoothing had 20.9 instead of 22.1 dB after 2000 steps, with four times as much
            21.9.
    """

    rate: float
    edge: float
    parts: int

    @torch.no_grad()
    def step(self, grid: VoxelGrid, table: Tensor, number: int, share: float = 1.0) -> None:
        """Smooth the `number`-th part of a table's finest level in place.

        Args:
            share: factor of the rate.
        """
        part = turn(len(grid.levels[0].corners), self.parts, number, table.device)
        change = pull(table, grid.neighbours[:, part], part.start, self.edge)
        table[part].add_(change, alpha=self.rate * share)


@unlocked
def pull(table: Tensor, neighbours: Tensor, begin: int, edge: float) -> Tensor:
    """The sum of the clamped differences of the rows from `begin` on to their six neighbours."""
    own = table[begin : begin + neighbours.size(1)]
    values = table.index_select(0, neighbours.reshape(-1)).view(6, own.size(0), own.size(1))
    return values.sub_(own).clamp_(-edge, edge).sum(dim=0)
