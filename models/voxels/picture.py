"""Pictures of a trained voxel field, many times as fast as its training renderer makes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geometry.cameras import Cameras
from geometry.rays import Bounds, Rays, cast_rays
from models.grids.traversal import grid_coordinates
from models.parallel import parallel, split_for_device
from models.rendering.output import RenderOutput

from .background import eval_background
from .field import VoxelField
from .integral.inference import MergedGrid, march_inference
from .integral.merged import merged
from .renderer import VoxelRenderer

# Rays of one call: the samples of a core's share of them stay near it.
_RAYS_AT_ONCE, _RAYS_OF_GPU = 1 << 15, 1 << 19
# Samples of less weight have no feature of their own.
_WEIGHT_THRESHOLD = 2e-3
# Every n-th pixel is enough to begin with where n are no farther apart than so many cells, anywhere
# along the rays: hardly anything is narrower than a cell, and what comes beside it tells. At most
# this many.
_CELLS_APART, _WIDEST = 1.33, 4
# Cells are measured at so many places of so many rays along each side of the picture.
_LOOKS, _DEPTHS = 5, 48


@dataclass(frozen=True)
class QuickRenderer:
    """Renders a voxel field for the eye: what VoxelRenderer renders, to within a level or two.

    Args:
        field: what is rendered.
        background: grey level behind everything.
        cropped: the field's tables without what is cropped away; behind them is the background.
    """

    field: VoxelField
    background: float = 0.0
    cropped: MergedGrid | None = None

    @classmethod
    def of(cls, renderer: VoxelRenderer) -> QuickRenderer:
        return cls(renderer.field, renderer.background)

    @property
    def rays_per_chunk(self) -> int:
        """Rays of one call."""
        on_cpu = self.field.density_table.device.type == "cpu"
        return _RAYS_AT_ONCE if on_cpu else _RAYS_OF_GPU

    @torch.no_grad()
    def __call__(self, rays: Rays) -> RenderOutput:
        """What rays show; the same each time."""
        tables = self.cropped
        if tables is None:
            tables = merged(self.field.grid, self.field.density_table, self.field.feature_table)
        parts = [rays[part] for part in split_for_device(len(rays), rays.origins.device)]
        shown = parallel(lambda part: self._part(tables, part), parts)
        rgb, depth, opacity = zip(*shown, strict=True)
        return RenderOutput(torch.cat(rgb), torch.cat(depth), torch.cat(opacity))

    def _part(self, tables: MergedGrid, rays: Rays) -> tuple[Tensor, Tensor, Tensor]:
        """Colour, depth and opacity of a core's share of the rays."""
        field = self.field
        lattice = field.grid.lattice
        feature, opacity, depth, _ = march_inference(
            *(lattice.grid_rays(rays), tables, list(lattice.dims)),
            *(field.recipe.step, field.recipe.early_stop_eps, _WEIGHT_THRESHOLD),
        )
        # Of a ray that meets nothing there is nothing to shade.
        hit = opacity.nonzero().squeeze(1)
        shaded = field.shader(
            *(x.index_select(0, hit) for x in (feature, opacity, rays.viewdirs)),
        )
        rgb = torch.zeros_like(rays.viewdirs).index_copy_(0, hit, shaded)
        background: float | Tensor = self.background
        if not field.recipe.known_background and self.cropped is None:
            background = eval_background(field.background_sh, rays.viewdirs)
        if isinstance(background, Tensor) or background:
            rgb.add_((1 - opacity[:, None]) * background)
        return rgb, depth, opacity

    @torch.no_grad()
    def pixel_stride(self, cameras: Cameras, bounds: Bounds, index: int) -> int:
        """The distance of pixels of camera `index`, a power of two, at which nothing is missed."""
        width, height = cameras.size[index].tolist()
        device = cameras.c2w.device
        y, x = torch.meshgrid(
            torch.linspace(0, height - 1, _LOOKS, device=device).long(),
            torch.linspace(0, width - 1, _LOOKS, device=device).long(),
            indexing="ij",
        )
        x, y = x.reshape(-1), y.reshape(-1)
        image = torch.full((len(x),), index, device=device)
        lattice = self.field.grid.lattice
        own, right, below = (
            lattice.grid_rays(cast_rays(cameras, bounds, image, x + i, y + j))
            for i, j in ((0, 0), (1, 0), (0, 1))
        )
        # As far along each ray as there are cells, at the same distances on its neighbours.
        along = torch.linspace(0, 1, _DEPTHS, device=device)
        s = torch.lerp(own.start[:, None], own.end[:, None], along)
        every = torch.arange(len(x), device=device)
        here = grid_coordinates(own, every, s)
        cells = max(
            float((grid_coordinates(other, every, s) - here).norm(dim=0).max())
            for other in (right, below)
        )
        stride = 1
        while stride < _WIDEST and 2 * stride * cells <= _CELLS_APART:
            stride *= 2
        return stride
