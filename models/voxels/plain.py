"""The readable twin of kernels.py: the same equations, one step each, gradients by autograd."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from datasets.rays import Rays

from ..compositing import composite_weights
from ..occupancy import Samples
from ..walk import parameter
from .grid import VoxelGrid
from .kernels import SHIFT, SPACINGS


def render_plainly(
    grid: VoxelGrid,
    density: Float[Tensor, "row 1"],
    features: Float[Tensor, "row channel"],
    rays: Rays,
    jitter: Float[Tensor, "ray"] | None = None,
    step: float = 1.0,
    noise: Float[Tensor, "number"] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Feature (ray, channel), opacity (ray,), depth and distortion of rays, as of RenderVoxels.

    1. Samples `step` cells apart, in occupied cells (marching).
    2. Density and feature at each, from the eight corners of its cell on every lattice; the noise
       is added to the densities one by one, over and over.
    3. Weights w_i = T_i (1 - exp(-sigma_i step)), density being that of a cell (NeRF, equation 3).
    4. Sums of w_i times feature, 1 and t_i.
    5. Distortion (mip-NeRF 360, equation 15), of places in sides of the region.
    """
    walk = grid.lattice.walk(rays)
    samples = grid.march(walk, jitter, step)
    raw = interpolate(grid, density, samples).squeeze(1) + SHIFT
    if noise is not None:
        raw = raw + noise[torch.arange(len(raw), device=raw.device) % len(noise)]
    found = interpolate(grid, features, samples)
    t = parameter(walk, samples.ray, samples.s)

    # From packed samples to rows of equal length, filled up with empty ones.
    counts = samples.starts.diff()
    longest = max(1, int(counts.max()))
    place = torch.arange(len(samples.ray), device=raw.device) - samples.starts[samples.ray]
    sigma = raw.new_zeros(len(rays), longest).index_put((samples.ray, place), F.softplus(raw))
    weights = composite_weights(sigma, torch.full_like(sigma, step))[samples.ray, place]

    s = samples.s.to(raw.dtype) * grid.lattice.share_of_cell
    same = samples.ray[:, None] == samples.ray
    pairs = weights[:, None] * weights * (s[:, None] - s).abs() * same
    apart = pairs.sum(dim=1) + weights**2 * step * grid.lattice.share_of_cell / 3

    def of_ray(values: Tensor) -> Tensor:
        total = values.new_zeros(len(rays), *values.shape[1:])
        return total.index_add(0, samples.ray, values)

    feature = of_ray(weights[:, None] * found)
    return feature, of_ray(weights), of_ray(weights * t), of_ray(apart)


def interpolate(
    grid: VoxelGrid, table: Float[Tensor, "row channel"], samples: Samples
) -> Float[Tensor, "sample channel"]:
    """The trilinear interpolation of a table's lattices at samples, summed over the lattices."""
    cell = samples.cell.long()
    index = grid.indices()[cell]
    total = table.new_zeros(len(cell), table.shape[1])
    for level, spacing in enumerate(SPACINGS):
        within = samples.within.t().to(table.dtype)
        x, y, z = ((index % spacing + within) / spacing).unbind(1)
        corner = 8 * level
        for wx in (1 - x, x):
            for wy in (1 - y, y):
                for wz in (1 - z, z):
                    value = table[grid.rows[cell, corner].long()]
                    total = total + (wx * wy * wz)[:, None] * value
                    corner += 1
    return total
