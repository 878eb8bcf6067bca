"""The volume rendering integral over a voxel grid, as a function of PyTorch's autograd."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geometry.rays import RayLimits, Rays
from models.grids.traversal import GridRays, select_rays
from models.parallel import parallel, split_for_device
from models.voxels.grid import VoxelGrid

from .kernels import GridTables, RayIntegral, integrate_rays, integrate_rays_backward

# Below this weight a sample is kept at random in training.
ROULETTE = 0.02
ALL_RAYS = 1 << 60


@dataclass(frozen=True)
class MarchConfig:
    """How rays are followed; the default is that of a picture, the same each time.

    Attributes:
        uniform: (8, ray) the random numbers of a training step.
        noise: added to the densities of its samples, over and over.
        exact: leave nothing but the samples' places to chance.
        weight_threshold: samples of a picture with less weight have no part in the feature.
        early_stop_eps: a ray of a picture ends where no more transmittance is left.
        near_gradient_scaling: as in Recipe; of a training step.
        step: between samples, in cells; 1 where gradients are wanted.
        limits: where rays end; by default at the end of the region.
        n_colored: so many rays get features and depth; of the rest opacity alone is wanted.
        distortion: whether that is wanted too.
    """

    uniform: Float[Tensor, "8 ray"] | None = None
    noise: Float[Tensor, "number"] | None = None
    exact: bool = False
    weight_threshold: float = 1e-3
    early_stop_eps: float = 1e-3
    near_gradient_scaling: float = 0.0
    step: float = 1.0
    limits: RayLimits | None = None
    n_colored: int = ALL_RAYS
    distortion: bool = False

    def __getitem__(self, part: slice) -> MarchConfig:
        """That of a part of the rays, which are in grid coordinates already."""
        uniform = None if self.uniform is None else self.uniform[:, part]
        return replace(self, uniform=uniform, n_colored=max(0, self.n_colored - part.start))


def integrate(
    grid: VoxelGrid, density: Tensor, features: Tensor, grid_rays: GridRays, config: MarchConfig
) -> RayIntegral:
    """The integral along rays, without gradients.

    Args:
        density, features: the grid's tables, (row, 1) and (row, channel).
    """
    uniform = config.uniform
    near_gradient_scaling = config.near_gradient_scaling * grid.lattice.region.half[0]
    roulette = 0.0 if config.exact else ROULETTE
    if uniform is None:
        uniform = density.new_full((8, 1), 0.5).expand(8, len(grid_rays.start))
        near_gradient_scaling, roulette = 0.0, 0.0
    # A weight is that of a step's length.
    weight_threshold = 0.0 if config.exact else config.weight_threshold * config.step
    tables = GridTables(density, features, grid.blocks, grid.number, grid.rows, grid.coarse_offset)
    integral = integrate_rays(
        *(tables, grid_rays, grid.block_dims, list(grid.lattice.dims), uniform),
        density.new_zeros(0) if config.noise is None else config.noise,
        *(weight_threshold, roulette, near_gradient_scaling, config.step, config.n_colored),
        grid.lattice.relative_cell_size if config.distortion else 0.0,
    )
    return RayIntegral(*integral)  # TorchScript has a type of its own for it


class IntegrateVoxels(torch.autograd.Function):
    """(density, features) -> feature, opacity, depth and distortion of each ray; and how many
    samples they took.

    Of a training step, with its random numbers; depth takes no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        density: Tensor,
        features: Tensor,
        grid: VoxelGrid,
        rays: Rays,
        config: MarchConfig,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        assert config.uniform is not None
        assert config.step == 1
        slices = split_for_device(len(rays), density.device)
        # Of all rays at once: its operations are so short that threads would wait for one another.
        grid_rays = grid.lattice.grid_rays(rays, config.limits)
        parts = parallel(
            lambda s: integrate(grid, density, features, select_rays(grid_rays, s), config[s]),
            slices,
        )
        ctx.parts = [(p, config.uniform[:, s], s) for p, s in zip(parts, slices, strict=True)]
        ctx.shape, ctx.exact = features.shape, config.exact
        n_samples = torch.tensor(sum(len(part.ray) for part in parts))
        ctx.mark_non_differentiable(n_samples)
        return (
            torch.cat([part.feature for part in parts]),
            torch.cat([part.opacity for part in parts]),
            torch.cat([part.depth for part in parts]),
            torch.cat([part.distortion for part in parts]),
            n_samples,
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        rows = ctx.shape[0]
        done = parallel(
            lambda p: integrate_rays_backward(
                *(p[0], p[1], grads[0][p[2]], grads[1][p[2]], grads[3][p[2]]),
                *(rows, not ctx.exact),
            ),
            ctx.parts,
        )
        density = done[0][0]
        for other in done[1:]:
            density.add_(other[0])
        touched = torch.cat([part[1] for part in done])
        values = torch.cat([part[2] for part in done])
        features = torch.sparse_coo_tensor(touched[None], values, ctx.shape, check_invariants=False)
        return density[:, None], features, None, None, None
