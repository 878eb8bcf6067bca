"""What acts on a voxel field's tables after an optimizer's step: total variation and decay.

Both are steps of their own, next to the optimizer's: Adam would make all pulls equally strong.
A processor goes through a table in `parts` steps, a part in each; a GPU, whose steps have more
samples, in fewer (`Recipe.smoothing_growth`). Measurements of each are in docs/ablations.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.parallel import round_robin_slice, scripted

from .grid import VoxelGrid


@dataclass(frozen=True)
class TotalVariation:
    """Moves each corner's value towards its neighbours' on the finest lattice.

    One step down the gradient of a sum of Huber functions of neighbours' differences: beyond
    `huber_delta` a difference pulls no harder, so that surfaces stay.

    Args:
        rate: share of a difference that is evened out each time. It must stay under 1 / 6, where
            six neighbours' pulls overshoot as far as they were off.
        huber_delta: difference from which the pull is constant.
        parts: steps in which a processor goes through the table. Twice as often at half the rate
            is the same, and twice as much work.
    """

    rate: float
    huber_delta: float
    parts: int

    @torch.no_grad()
    def step(
        self, grid: VoxelGrid, table: Tensor, number: int, scale: float = 1.0, faster: int = 1
    ) -> None:
        """Smooth the `number`-th part of a table's finest level in place.

        Args:
            scale: factor of the rate.
            faster: how many times as fast to go through the table.
        """
        parts = max(1, self.parts // faster)
        part = round_robin_slice(len(grid.levels[0].corners), parts, number)
        change = pull(table, grid.neighbours[:, part], part.start, self.huber_delta)
        table[part].add_(change, alpha=self.rate * scale)


@dataclass(frozen=True)
class Decay:
    """Decoupled weight decay towards a value (AdamW, Loshchilov and Hutter 2019).

    What several photos agree on holds against it; what one of them explained by chance goes.

    Args:
        rate: share of the way that values go each time.
        target: the value.
        parts: steps in which a processor goes through the table.
    """

    rate: float
    target: float
    parts: int

    @torch.no_grad()
    def step(self, table: Tensor, number: int, scale: float = 1.0, faster: int = 1) -> None:
        """Decay the `number`-th part of a table in place.

        Args:
            scale: factor of the rate.
            faster: how many times as fast to go through the table.
        """
        part = round_robin_slice(len(table), max(1, self.parts // faster), number)
        rate = self.rate * scale
        table[part].mul_(1 - rate).add_(rate * self.target)


@scripted
def pull(table: Tensor, neighbours: Tensor, begin: int, huber_delta: float) -> Tensor:
    """The sum of the clamped differences of the rows from `begin` on to their six neighbours."""
    own = table[begin : begin + neighbours.size(1)]
    values = table.index_select(0, neighbours.reshape(-1)).view(6, own.size(0), own.size(1))
    return values.sub_(own).clamp_(-huber_delta, huber_delta).sum(dim=0)
