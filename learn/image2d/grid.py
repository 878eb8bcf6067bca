"""A multi-resolution grid of features over the unit square."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class FeatureGrid(nn.Module):
    """Features of grids of growing resolution, each interpolated bilinearly and put side by side.

    As in instant-ngp (Müller et al., 2022, section 3); two dimensions need no hash table.

    Args:
        width, height: of the image in pixels; the cells are square in it.
        channels: features of a level.
        coarsest: cells along the longer side of the first level; each level has twice those of
            the one before, the last half as many as the image has pixels.
    """

    offsets: Tensor
    cells: Tensor

    def __init__(self, width: int, height: int, channels: int = 4, coarsest: int = 8) -> None:
        super().__init__()
        finest = max(coarsest, max(width, height) // 2)
        levels = 1 + math.ceil(math.log2(finest / coarsest))
        sizes = [finest / 2**i for i in reversed(range(levels))]  # cells along the longer side
        longer = max(width, height)
        cells = torch.tensor(
            [[max(1, round(s * width / longer)), max(1, round(s * height / longer))] for s in sizes]
        )
        nodes = (cells + 1).prod(dim=1)
        self.out_channels = levels * channels
        self.table = nn.Parameter(torch.empty(int(nodes.sum()), channels).uniform_(-1e-4, 1e-4))
        self.register_buffer("cells", cells)
        self.register_buffer("offsets", nodes.cumsum(0) - nodes)

    def forward(self, xy: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch feature"]:
        """Features at positions in [0, 1]."""
        position = xy[:, None] * self.cells  # (batch, level, 2)
        corner = torch.minimum(position.long(), self.cells - 1)
        fx, fy = (position - corner).unbind(-1)
        row = self.cells[:, 0] + 1
        first = self.offsets + corner[..., 1] * row + corner[..., 0]
        index = torch.stack([first, first + 1, first + row, first + row + 1], dim=-1)
        weight = torch.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], dim=-1)
        features = weighted_rows(self.table, index.flatten(0, 1), weight.flatten(0, 1))
        return features.view(len(xy), self.out_channels)


def weighted_rows(
    table: Float[Tensor, "row channel"],
    index: Int[Tensor, "bag corner"],
    weight: Float[Tensor, "bag corner"],
) -> Float[Tensor, "bag channel"]:
    """Sums of table rows, weighted; differentiable in the table alone."""
    if table.is_cuda:
        return F.embedding_bag(index, table, mode="sum", per_sample_weights=weight)
    return _WeightedRows.apply(table, index, weight)


class _WeightedRows(torch.autograd.Function):
    """embedding_bag with a gradient by counting, five times faster on a CPU than torch's own."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(index, weight)
        ctx.shape = table.shape
        return F.embedding_bag(index, table, mode="sum", per_sample_weights=weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        index, weight = ctx.saved_tensors
        rows, channels = ctx.shape
        index = index.reshape(-1)
        columns = [
            torch.bincount(index, (weight * gradient[:, c, None]).reshape(-1), minlength=rows)
            for c in range(channels)
        ]
        return torch.stack(columns, dim=-1).to(gradient.dtype), None, None
