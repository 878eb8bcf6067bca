"""Decoupled weight decay: what no photo asks for is forgotten."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..parallel import at_once


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
        parts = max(1, self.parts // at_once(1, table.device))
        begin, end = (len(table) * (number % parts + i) // parts for i in (0, 1))
        rate = self.rate * share
        table[begin:end].mul_(1 - rate).add_(rate * self.towards)
