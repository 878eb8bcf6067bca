"""The readable twin of kernels.py: the same equations, one step each, gradients by autograd."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from geometry.contraction import contract
from geometry.rays import Rays
from models.grids.samples import RaySamples
from models.grids.traversal import GridRays
from models.rendering.compositing import render_weight_from_density
from models.rendering.packed import accumulate_along_rays
from models.voxels.grid import VoxelGrid

from .kernels import DENSITY_SHIFT, SPACINGS


def integrate_reference(
    grid: VoxelGrid,
    density: Float[Tensor, "row 1"],
    features: Float[Tensor, "row channel"],
    rays: Rays,
    jitter: Float[Tensor, "ray"] | None = None,
    step: float = 1.0,
    noise: Float[Tensor, "number"] | None = None,
    samples: RaySamples | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Feature (ray, channel), opacity (ray,), depth and distortion of rays: integrate_voxels.

    Differentiable with respect to the tables and to the rays' origins and directions.

    1. Samples `step` cells apart, in occupied cells.
    2. Density and feature at each, from the eight corners of its cell on every lattice; the noise
       is added to the densities one by one, over and over.
    3. Weights w_i = T_i (1 - exp(-sigma_i step)), density being that of a cell (NeRF, equation 3).
    4. Sums of w_i times feature, 1 and t_i.
    5. Distortion (mip-NeRF 360, equation 15), of places in sides of the region.

    Args:
        samples: by default those of the rays; others keep their places on rays that are moved.
    """
    grid_rays = grid.lattice.grid_rays(rays)
    if samples is None:
        with torch.no_grad():
            samples = grid.sample(grid_rays, jitter, step)
    samples = replace(samples, within=moved(grid, grid_rays, samples))
    raw = interpolate(grid, density, samples).squeeze(1) + DENSITY_SHIFT
    if noise is not None:
        raw = raw + noise[torch.arange(len(raw), device=raw.device) % len(noise)]
    feature = interpolate(grid, features, samples)

    sigma = _rows(F.softplus(raw), samples)
    weights = samples.packed(render_weight_from_density(sigma, torch.full_like(sigma, step)))

    s = samples.s.to(raw.dtype) * grid.lattice.relative_cell_size
    same_ray = samples.ray_indices[:, None] == samples.ray_indices
    pairs = weights[:, None] * weights * (s[:, None] - s).abs() * same_ray
    own = weights**2 * step * grid.lattice.relative_cell_size / 3
    distortion = pairs.sum(dim=1) + own

    def of_ray(values: Tensor) -> Tensor:
        return accumulate_along_rays(values, samples.ray_indices, len(rays))

    return (
        of_ray(weights[:, None] * feature),
        of_ray(weights),
        of_ray(weights * samples.t),
        of_ray(distortion),
    )


def moved(grid: VoxelGrid, grid_rays: GridRays, samples: RaySamples) -> Float[Tensor, "3 sample"]:
    """Where samples lie in their cells, as a function of the rays' origins and directions.

    Samples keep their distance s (or t, where the region is unbounded) along the ray.
    """
    origins, directions = (
        values[:, samples.ray_indices] for values in (grid_rays.origins, grid_rays.directions)
    )
    if not grid.lattice.region.unbounded:
        place = origins + directions * samples.s
    else:
        x = origins + directions * (samples.t * grid_rays.speed[samples.ray_indices])
        low, edge = grid_rays.low.view(3, 1), grid_rays.edge.view(3, 1)
        place = (contract(x.t()).t() / 2 - low) / edge
    return place - grid.indices()[samples.cell.long()].t()


def _rows(values: Float[Tensor, "sample"], samples: RaySamples) -> Float[Tensor, "ray longest"]:
    """Packed values in rows of equal length, filled up with zeros."""
    longest = max(1, int(samples.starts.diff().max()))
    rows = values.new_zeros(samples.n_rays, longest)
    return rows.index_put((samples.ray_indices, samples.place), values)


def interpolate(
    grid: VoxelGrid, table: Float[Tensor, "row channel"], samples: RaySamples
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
