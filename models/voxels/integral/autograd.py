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
from .positions import position_gradient, ray_gradients

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


def integrate_voxels(
    density: Tensor, features: Tensor, grid: VoxelGrid, rays: Rays, config: MarchConfig
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Feature, opacity, depth and distortion of each ray; and how many samples they took.

    Of a training step, with its random numbers. The tables take gradients, and the rays' origins
    and directions where they require them; depth gives none.
    """
    # Of all rays at once: its operations are so short that threads would wait for one another.
    grid_rays = grid.lattice.grid_rays(rays, config.limits)
    moving = (grid_rays.origins, grid_rays.directions)
    fixed = GridRays(*(values.detach() for values in grid_rays))
    result: tuple[Tensor, ...] = IntegrateVoxels.apply(
        density, features, *moving, grid, fixed, config
    )
    feature, opacity, depth, distortion, n_samples = result
    return feature, opacity, depth, distortion, int(n_samples)


class IntegrateVoxels(torch.autograd.Function):
    """`integrate_voxels`, with the rays in grid coordinates."""

    @staticmethod
    def forward(
        ctx: Any,
        density: Tensor,
        features: Tensor,
        origins: Tensor,
        directions: Tensor,
        grid: VoxelGrid,
        grid_rays: GridRays,
        config: MarchConfig,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        assert config.uniform is not None
        assert config.step == 1
        slices = split_for_device(len(grid_rays.start), density.device)
        parts = parallel(
            lambda s: integrate(grid, density, features, select_rays(grid_rays, s), config[s]),
            slices,
        )
        ctx.parts = [(p, config.uniform[:, s], s) for p, s in zip(parts, slices, strict=True)]
        ctx.shape, ctx.exact = features.shape, config.exact
        if any(ctx.needs_input_grad[2:4]):
            ctx.save_for_backward(density, features)
            ctx.coarse_offset, ctx.grid_rays = grid.coarse_offset, grid_rays
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
        of_rays: tuple[Tensor | None, Tensor | None] = (None, None)
        if any(ctx.needs_input_grad[2:4]):
            of_rays = _gradients_of_rays(ctx, [part[3:] for part in done])
        density = done[0][0]
        for other in done[1:]:
            density.add_(other[0])
        touched = torch.cat([part[1] for part in done])
        values = torch.cat([part[2] for part in done])
        features = torch.sparse_coo_tensor(touched[None], values, ctx.shape, check_invariants=False)
        return density[:, None], features, *of_rays, None, None, None


def _gradients_of_rays(ctx: Any, of_samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Of the rays' origins and directions (3, ray), from those of the samples of each part."""
    density, features = ctx.saved_tensors

    def of_part(part: tuple[Any, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        (integral, _, some), (grad_raw, grad_feature) = part
        grad_place = position_gradient(
            integral, density, features, ctx.coarse_offset, grad_raw, grad_feature
        )
        rays = select_rays(ctx.grid_rays, some)
        gradients: tuple[Tensor, Tensor] = ray_gradients(rays, integral.ray, integral.s, grad_place)
        return gradients

    done = parallel(of_part, list(zip(ctx.parts, of_samples, strict=True)))
    origins, directions = zip(*done, strict=True)
    return torch.cat(origins, dim=1), torch.cat(directions, dim=1)
