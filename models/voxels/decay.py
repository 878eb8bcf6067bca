"""Decoupled weight decay: what no photo asks for is forgotten."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..parallel import turn


@dataclass(frozen=True)
class Decay:
    """Draws all values of a table towards one, as AdamW does (Loshchilov and Hutter 2019).

    Photos that agree hold up what they show; what one of them explained by chance goes.

    Args:
        rate: share of the way that values go each time.
        towards: the value.
        parts: a table is gone through in so many steps of a processor, a part in each, and in
            fewer of a GPU, as for Smoothing.
    """

    rate: float
    towards: float
    parts: int

    @torch.no_grad()
    def step(self, table: Tensor, number: int, share: float = 1.0) -> None:
        """Draw the `number`-th part of a table in place.

        Args:
            share: factor of the rate.
        """
        part = turn(len(table), self.parts, number, table.device)
        rate = self.rate * share
        table[part].mul_(1 - rate).add_(rate * self.towards)
