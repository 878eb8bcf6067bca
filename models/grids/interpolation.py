"""Interpolated values of tables: what planes and lines of numbers hold between their points.

`F.grid_sample` on a CPU reads and, worse, adds up channels that lie far apart. Here the channels
of a point are one row, `F.embedding_bag` sums weighted rows without writing them out first, and
so does the gradient, from samples sorted by the row that they touch. On one core, 100,000 places
along rays in a plane of 300x300x48: 5 ms against 20 forward, 34 against 302 backward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor


@dataclass(frozen=True)
class Corners:
    """The points of a line or plane around each place, and their weights.

    Attributes:
        base: the first of them, in the flattened table.
        steps: from it to each of them.
        weights: linear, or bilinear.
    """

    base: Int32[Tensor, "place"]
    steps: tuple[int, ...]
    weights: Float[Tensor, "place corner"]


def line_corners(place: Float[Tensor, "place"], size: int) -> Corners:
    """The two points of a line beside each place.

    Args:
        place: from 0 at the line's first point to size - 1 at its last; what is outside counts
            as the end.
        size: points of the line, at least 2.
    """
    place = place.clamp(0, size - 1)
    base = place.int().clamp_(max=size - 2)
    far = place - base
    return Corners(base, (0, 1), torch.stack([1 - far, far], dim=1))


def plane_corners(row: Corners, column: Corners, columns: int) -> Corners:
    """The four points of a flattened plane around each place.

    Args:
        row, column: `line_corners` along the plane's two axes.
        columns: points along its second axis.
    """
    base = row.base * columns + column.base
    weights = row.weights.new_empty(len(base), 4)
    for corner in range(4):
        torch.mul(
            row.weights[:, corner // 2], column.weights[:, corner % 2], out=weights[:, corner]
        )
    return Corners(base, (0, 1, columns, columns + 1), weights)


def gather(table: Float[Tensor, "row channel"], corners: Corners) -> Float[Tensor, "place channel"]:
    """The table's values at the places; differentiable with respect to the table alone."""
    return _Gather.apply(table, corners)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, corners: Corners) -> Tensor:
        ctx.corners, ctx.shape = corners, table.shape
        rows = corners.base[:, None] + corners.base.new_tensor(corners.steps)
        return F.embedding_bag(rows, table, mode="sum", per_sample_weights=corners.weights)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        base, weights = ctx.corners.base, ctx.corners.weights
        table = grad.new_zeros(ctx.shape)
        if grad.device.type != "cpu":  # many threads add at once there; sorting gains nothing
            for step, weight in zip(ctx.corners.steps, weights.unbind(1), strict=True):
                table.index_add_(0, base + step, grad * weight[:, None])
            return table, None
        order = base.argsort()
        counts = torch.bincount(base, minlength=1)
        touched = counts.nonzero().squeeze(1)
        first = (counts.cumsum(0) - counts)[touched]
        ordered = weights.index_select(0, order).T.contiguous()
        for step, weight in zip(ctx.corners.steps, ordered, strict=True):
            summed = F.embedding_bag(
                order, grad.contiguous(), first, mode="sum", per_sample_weights=weight
            )
            table.index_add_(0, touched + step, summed)
        return table, None
