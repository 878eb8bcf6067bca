"""Packed samples: those of all rays one after the other, as each ray has its own number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor


@dataclass(frozen=True)
class RaySamples:
    """Samples in occupied cells, in the order of the rays and along each.

    Attributes:
        ray_indices: the ray of each sample.
        t: the ray's parameter there.
        deltas: length of the interval that it stands for.
        s: its place on the ray, in grid cells.
        cell: number of the occupied cell that it lies in.
        within: its place in the cell, from 0 to 1.
        starts: first sample of each ray; one entry more at the end.
    """

    ray_indices: Int[Tensor, "sample"]
    t: Float[Tensor, "sample"]
    deltas: Float[Tensor, "sample"]
    s: Float[Tensor, "sample"]
    cell: Int32[Tensor, "sample"]
    within: Float[Tensor, "3 sample"]
    starts: Int[Tensor, "start"]

    def __len__(self) -> int:
        return len(self.ray_indices)

    @property
    def n_rays(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def place(self) -> Int[Tensor, "sample"]:
        """The number of each sample on its ray."""
        index = torch.arange(len(self), device=self.ray_indices.device)
        return index - self.starts[self.ray_indices]

    def select(self, mask: Bool[Tensor, "sample"]) -> RaySamples:
        """The samples where the mask is True."""
        ray_indices = self.ray_indices[mask]
        counts = torch.bincount(ray_indices, minlength=self.n_rays)
        return RaySamples(
            *(ray_indices, self.t[mask], self.deltas[mask], self.s[mask]),
            *(self.cell[mask], self.within[:, mask]),
            starts=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
        )

    def padded(self, values: Float[Tensor, "sample"]) -> Float[Tensor, "ray longest"]:
        """A value of each sample in rows of equal length, filled up with zeros."""
        longest = int((self.starts[1:] - self.starts[:-1]).max()) if self.n_rays else 0
        where = self.ray_indices * longest + self.place
        flat = values.new_zeros(self.n_rays * longest).index_copy(0, where, values)
        return flat.view(self.n_rays, longest)

    def packed(self, rows: Float[Tensor, "ray longest"]) -> Float[Tensor, "sample"]:
        """The inverse of `padded`."""
        return rows[self.ray_indices, self.place]
