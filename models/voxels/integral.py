"""The volume rendering integral over a voxel grid, to PyTorch's autograd."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from datasets.rays import Rays, Stops

from ..parallel import parallel, shares
from ..walk import Walk, of_rays
from .grid import VoxelGrid
from .kernels import Found, Table, differentiate, integrate

# Below this weight a sample is kept at random in training.
ROULETTE = 0.02


@dataclass(frozen=True)
class Sampling:
    """How rays are followed; the default is that of a picture, the same each time.

    Attributes:
        uniform: (8, ray) the random numbers of a training step,
        noise: and those added to its densities, one to a sample, over and over.
        exact: leave nothing but the samples' places to chance.
        faintest: weight below which samples of a picture have no part in the feature.
        fade: as in Recipe; of a training step.
        step: between samples, in cells; 1 where gradients are wanted.
        stops: how far; by default to the end of the region.
        coloured: so many rays get features and depth; of the rest opacity alone is wanted.
        distortion: whether that is wanted too.
    """

    uniform: Float[Tensor, "8 ray"] | None = None
    noise: Float[Tensor, "number"] | None = None
    exact: bool = False
    faintest: float = 1e-3
    fade: float = 0.0
    step: float = 1.0
    stops: Stops | None = None
    coloured: int = 1 << 60
    distortion: bool = False

    def __getitem__(self, part: slice) -> Sampling:
        """That of a part of the rays, which are walked already."""
        uniform = None if self.uniform is None else self.uniform[:, part]
        return replace(self, uniform=uniform, coloured=max(0, self.coloured - part.start))


def look(grid: VoxelGrid, density: Tensor, features: Tensor, walk: Walk, how: Sampling) -> Found:
    """What rays meet."""
    uniform, fade = how.uniform, how.fade * grid.lattice.region.half[0]
    roulette = 0.0 if how.exact else ROULETTE
    if uniform is None:
        uniform, fade, roulette = density.new_full((8, 1), 0.5).expand(8, len(walk.start)), 0.0, 0.0
    # A weight is that of a step's length.
    faintest = 0.0 if how.exact else how.faintest * how.step
    table = Table(density, features, grid.blocks, grid.number, grid.rows, grid.share)
    found = integrate(
        *(table, walk, grid.block_dims, list(grid.lattice.dims), uniform),
        density.new_zeros(0) if how.noise is None else how.noise,
        *(faintest, roulette, fade, how.step, how.coloured),
        grid.lattice.share_of_cell if how.distortion else 0.0,
    )
    return Found(*found)  # TorchScript has a type of its own for it


class RenderVoxels(torch.autograd.Function):
    """(density, features) -> feature, opacity, depth and distortion of each ray; and how many
    samples they took.

    Of a training step, with its random numbers; depth takes no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, density: Tensor, features: Tensor, grid: VoxelGrid, rays: Rays, how: Sampling
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        assert how.uniform is not None
        assert how.step == 1
        slices = shares(len(rays), density.device)
        # Of all rays at once: its operations are so short that threads would wait for one another.
        walk = grid.lattice.walk(rays, how.stops)
        found = parallel(
            lambda part: look(grid, density, features, of_rays(walk, part), how[part]), slices
        )
        ctx.parts = [(f, how.uniform[:, s], s) for f, s in zip(found, slices, strict=True)]
        ctx.shape, ctx.exact = features.shape, how.exact
        samples = torch.tensor(sum(len(part.ray) for part in found))
        ctx.mark_non_differentiable(samples)
        return (
            torch.cat([part.feature for part in found]),
            torch.cat([part.opacity for part in found]),
            torch.cat([part.depth for part in found]),
            torch.cat([part.spread for part in found]),
            samples,
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        rows = ctx.shape[0]
        done = parallel(
            lambda p: differentiate(
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
