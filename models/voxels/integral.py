"""The volume rendering integral over a voxel grid, to PyTorch's autograd."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from datasets.rays import Rays

from ..parallel import parallel, parts_for
from .grid import VoxelGrid
from .kernels import Found, Table, differentiate, integrate

# Below this weight a sample is dropped when an image is rendered.
_FAINT = 1e-3
# Below this weight it is kept at random in training.
ROULETTE = 0.02


def look(
    grid: VoxelGrid,
    density: Tensor,
    features: Tensor,
    rays: Rays,
    uniform: Tensor | None,
    exact: bool = False,
    faintest: float = _FAINT,
    fade: float = 0.0,
) -> Found:
    """What rays meet; in training with `uniform` random numbers (8, ray).

    Args:
        exact: leave nothing but the samples' places to chance.
        faintest: weight below which samples have no part in the feature.
        fade: as in Recipe.
    """
    training = uniform is not None and not exact
    if uniform is None:
        fade = 0.0
        uniform = density.new_full((1, 1), 0.5).expand(8, len(rays))
    table = Table(density, features, grid.blocks, grid.number, grid.rows, grid.share)
    dims = list(grid.lattice.dims)
    walk = grid.lattice.walk(rays)
    fade *= grid.lattice.region.half[0]
    faintest, roulette = 0.0 if exact else faintest, ROULETTE if training else 0.0
    found = integrate(table, walk, grid.block_dims, dims, uniform, faintest, roulette, fade)
    return Found(*found)  # TorchScript has a type of its own for it


class RenderVoxels(torch.autograd.Function):
    """(density, features) -> feature, opacity and depth of each ray, and the number of samples.

    Depth takes no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        density: Tensor,
        features: Tensor,
        grid: VoxelGrid,
        rays: Rays,
        uniform: Float[Tensor, "8 ray"] | None,
        exact: bool = False,
        fade: float = 0.0,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Args: uniform: random numbers; None renders the same each time, without gradients.
        exact: leave nothing but the samples' places to chance."""
        size = max(1, -(-len(rays) // parts_for(density.device)))
        slices = [slice(begin, begin + size) for begin in range(0, len(rays), size)]
        uniforms = [None if uniform is None else uniform[:, part] for part in slices]
        parts = list(zip(slices, uniforms, strict=True))
        found = parallel(
            lambda p: look(grid, density, features, rays[p[0]], p[1], exact, fade=fade), parts
        )
        if uniform is not None:
            ctx.parts = list(zip(found, uniforms, slices, strict=True))
            ctx.shape, ctx.exact = features.shape, exact
        samples = torch.tensor(sum(len(part.ray) for part in found))
        ctx.mark_non_differentiable(samples)
        return (
            torch.cat([part.feature for part in found]),
            torch.cat([part.opacity for part in found]),
            torch.cat([part.depth for part in found]),
            samples,
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        rows = ctx.shape[0]
        done = parallel(
            lambda p: differentiate(
                p[0], p[1], grads[0][p[2]], grads[1][p[2]], rows, not ctx.exact
            ),
            ctx.parts,
        )
        density = done[0][0]
        for other in done[1:]:
            density.add_(other[0])
        touched = torch.cat([part[1] for part in done])
        values = torch.cat([part[2] for part in done])
        features = torch.sparse_coo_tensor(touched[None], values, ctx.shape, check_invariants=False)
        return density[:, None], features, None, None, None, None, None
