"""The gradient of the integral with respect to where its samples are, for cameras that move.

A ray's samples move with it: x = o + s d in grid coordinates, s fixed. (A shift of all samples
along their ray is another choice of the same integral's samples.) What a move of a sample changes
is the trilinear interpolation in its cell; through it the rays' origins and directions take
gradients.

reference.py is the readable twin. TorchScript runs the functions (see models/parallel.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.grids.traversal import GridRays, inv_contract_1d
from models.parallel import scripted

from .kernels import RayIntegral


@scripted
def trilinear_gradient(values: Tensor, within: Tensor) -> Tensor:
    """Gradient (3, sample) of the interpolation of corner values (8, sample; z innermost).

    Args:
        within: (3, sample) places in the cells.
    """
    x, y, z = within.unbind(0)
    along_x_y = torch.lerp(values[0::2], values[1::2], z)
    along_x = torch.lerp(along_x_y[0::2], along_x_y[1::2], y)
    dx = along_x[1] - along_x[0]
    dy = along_x_y[1::2] - along_x_y[0::2]
    dz = values[1::2] - values[0::2]
    dz = torch.lerp(dz[0::2], dz[1::2], y)
    return torch.stack([dx, torch.lerp(dy[0], dy[1], x), torch.lerp(dz[0], dz[1], x)])


@scripted
def position_gradient(
    integral: RayIntegral,
    density: Tensor,
    features: Tensor,
    coarse_offset: Tensor,
    grad_raw: Tensor,
    grad_feature: Tensor,
) -> Tensor:
    """dL/dx (3, sample) for the samples' places in grid coordinates.

    Args:
        density, features, coarse_offset: as in GridTables.
        grad_raw: (sample,) of the densities before their activation.
        grad_feature: (visible, channel) of the visible samples' features.
    """
    # Corner values are summed with weights; gradients first make one number of each corner.
    rows = integral.rows
    corners = density.view(-1).index_select(0, rows.view(-1)).view(-1, 16) * grad_raw[:, None]
    seen = rows.index_select(0, integral.visible).view(-1)
    of_features = features.index_select(0, seen).view(-1, 16, features.size(1))
    corners.index_add_(0, integral.visible, of_features.matmul(grad_feature[:, :, None]).squeeze(2))
    corners = corners.t().contiguous()
    coarse = coarse_offset.index_select(1, integral.cell).add_(integral.within, alpha=1 / 4)
    gradient = trilinear_gradient(corners[:8], integral.within)
    return gradient.add_(trilinear_gradient(corners[8:], coarse), alpha=1 / 4)


@scripted
def ray_gradients(
    grid_rays: GridRays, ray: Tensor, s: Tensor, grad_place: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients (3, ray) of the rays' origins and directions from those of places (3, sample).

    Args:
        ray, s: (sample,) as in RayIntegral.
    """
    distance = s
    if grid_rays.nearest.numel() > 0:
        # Through the contraction u = x f(n) with f = (2 - 1 / n) / (2 n), n the maximum norm.
        distance = grid_rays.nearest.index_select(0, ray) + inv_contract_1d(
            s * (2 * grid_rays.edge[0, 0, 0])
        )
        x = grid_rays.directions.index_select(1, ray).mul_(distance)
        x.add_(grid_rays.origins.index_select(1, ray))
        size, axis = x.abs().max(dim=0)
        inverse = size.clamp_min(1).reciprocal_()
        grad_place = grad_place / grid_rays.edge.view(3, 1)
        slope = inverse.square() * (inverse - 1) * (grad_place * x).sum(dim=0)  # zero inside
        slope = slope * x.gather(0, axis[None])[0].sign()
        grad_place = grad_place * (0.5 * (2 - inverse) * inverse)
        grad_place = grad_place.scatter_add(0, axis[None], slope[None])
    origins = torch.zeros_like(grid_rays.origins).index_add_(1, ray, grad_place)
    directions = torch.zeros_like(grid_rays.directions)
    return origins, directions.index_add_(1, ray, grad_place * distance)
