"""What the training photos' cameras see of each cell: what a smaller page can do without."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geometry.cameras import Cameras
from geometry.rays import Bounds, image_rays
from models.grids.cells import dilate
from models.voxels.field import VoxelField
from models.voxels.grid import VoxelGrid
from models.voxels.integral.autograd import MarchConfig
from models.voxels.integral.march import march_grid

_RAYS_A_PHOTO = 40_000
_MOST_RAYS = 1_500_000


@torch.no_grad()
def largest_weights(
    field: VoxelField, cameras: Cameras, bounds: Bounds, rays_a_photo: int = _RAYS_A_PHOTO
) -> Float[Tensor, "occupied"]:
    """The largest weight that each cell has in a ray of the cameras.

    Args:
        rays_a_photo: so many at most, evenly over the picture.
    """
    grid, recipe = field.grid, field.recipe
    tables = field.density_table.detach(), field.feature_table.detach()
    config = MarchConfig(step=recipe.step, weight_threshold=2.0)  # above any weight: no features
    largest = torch.zeros(len(grid), device=tables[0].device)
    wanted = min(rays_a_photo, _MOST_RAYS // max(1, len(cameras)))
    for index in range(len(cameras)):
        pixels = int(cameras.size[index].prod())
        stride = max(1, round((pixels / wanted) ** 0.5))
        rays = image_rays(cameras, bounds, index, stride).to(largest.device)
        grid_rays = grid.lattice.grid_rays(rays)
        eps = recipe.early_stop_eps
        for _, transmittance, part in march_grid(grid, *tables, grid_rays, config, eps):
            weight = part.weight * transmittance[part.ray]
            largest.scatter_reduce_(0, part.cell.long(), weight, "amax")
    return largest


def most_visible(
    grid: VoxelGrid, weights: Float[Tensor, "occupied"], share: float
) -> Bool[Tensor, "x y z"]:
    """At most `share` of the cells: those of the largest weights, with their neighbours."""
    wanted, order = int(share * len(grid)), weights.argsort(descending=True)
    low, high = 0, len(grid)
    best = torch.zeros_like(grid.mask)
    while low < high:
        middle = (low + high + 1) // 2
        mask = torch.zeros_like(grid.mask)
        mask.view(-1)[grid.cells[order[:middle]]] = True
        mask = dilate(mask) & grid.mask
        if int(mask.sum()) <= wanted:
            low, best = middle, mask
        else:
            high = middle - 1
        if high - low < max(1, len(grid) // 200):
            break
    return best
