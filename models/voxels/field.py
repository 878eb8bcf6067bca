"""The sparse voxel field: density and features at the corners of the cells that are occupied."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from geometry.rays import RayLimits, Rays
from geometry.region import Region
from models.field import ParameterReplacement, StepSize
from models.grids.lattice import Lattice
from models.parallel import scaled_for_device
from models.rendering.output import RenderOutput

from .grid import VoxelGrid
from .growth import first_grid, next_grid, visible_cells
from .integral.autograd import ALL_RAYS, MarchConfig, integrate_voxels
from .integral.kernels import DENSITY_SHIFT
from .integral.march import render_rays
from .recipe import Recipe, recipe_for
from .shader import Shader

# What an empty corner of a coarser grid hands on to a finer one.
_EMPTY_DENSITY = -4.0
_FIRST_RAYS, _MOST_RAYS = 1024, 32768
_LEAST_RESOLUTION = 16
# So many cells are believed of any file, more of one that keeps more of them.
_CELLS, _CELLS_PER_KEPT = 1 << 24, 10_000


class VoxelField(nn.Module):
    """Values at the corners of occupied cells, interpolated in between.

    Density is stored per cell of ray length, so that a table means the same at any resolution.
    Colour comes from features that are summed along a ray before they are shaded: one small
    network for each ray instead of one for each sample (SNeRG, Hedman et al. 2021, deferred
    shading).

    Args:
        region: the part of space that is covered.
        resolution: cells along the region's longest side, at the end of the training.
        recipe: how it is trained and rendered; by default that of the region's kind of scene.
        channels: of a feature; the first three are the colour seen from every side.
        hidden: channels of the shading network's layers.
    """

    stage: Tensor
    background_sh: Tensor

    def __init__(
        self,
        region: Region,
        resolution: int,
        recipe: Recipe | None = None,
        channels: int = 8,
        hidden: int = 32,
    ) -> None:
        super().__init__()
        self.region, self.resolution = region, resolution
        self.recipe = recipe_for(region) if recipe is None else recipe
        self.register_buffer("stage", torch.zeros(3, dtype=torch.int64))
        # Background harmonics, grey until `fit_background` has seen training pixels.
        self.register_buffer("background_sh", F.pad(torch.full((1, 3), 0.5), (0, 0, 0, 8)))
        self._adopt(first_grid(region, resolution / self.recipe.stages[0].coarseness))
        self.density_table = nn.Parameter(torch.zeros(self.grid.size, 1))
        features = torch.zeros(self.grid.size, channels)
        self.feature_table = nn.Parameter(features.uniform_(-0.1, 0.1))
        self.shader = Shader(channels, hidden, self.recipe.view_dependence)

    def _adopt(self, grid: VoxelGrid) -> None:
        self.grid = grid
        lattice = grid.lattice
        self.register_buffer("cells", grid.cells.int())
        self.register_buffer("dims", torch.tensor(lattice.dims))
        self.register_buffer("box", torch.tensor([lattice.low, lattice.edge], dtype=torch.float64))

    def render(
        self,
        rays: Rays,
        background: float | Float[Tensor, "ray 3"],
        uniform: Float[Tensor, "8 ray"] | None = None,
        noise: Float[Tensor, "number"] | None = None,
        limits: RayLimits | None = None,
        n_colored: int = ALL_RAYS,
    ) -> RenderOutput:
        """What rays show; in training with extras["distortion"] where the recipe wants it.

        Args:
            uniform: the random numbers of a training step; None renders the same each time.
            noise: on the densities of a training step.
            limits: where rays end; by default at the end of the region.
            n_colored: so many rays get colours and depths; of the rest opacity alone is wanted.
        """
        tables, recipe = (self.density_table, self.feature_table), self.recipe
        extras = {}
        if uniform is None:
            config = MarchConfig(
                step=recipe.step,
                limits=limits,
                weight_threshold=recipe.weight_threshold,
                early_stop_eps=recipe.early_stop_eps,
            )
            feature, opacity, depth, n_samples = render_rays(*tables, self.grid, rays, config)
        else:
            config = MarchConfig(
                uniform,
                noise,
                near_gradient_scaling=recipe.near_gradient_scaling,
                limits=limits,
                n_colored=n_colored,
                distortion=recipe.distortion > 0,
            )
            feature, opacity, depth, distortion, n_samples = integrate_voxels(
                *tables, self.grid, rays, config
            )
            if recipe.distortion > 0:
                extras["distortion"] = distortion
        rgb = self.shader(feature, opacity, rays.viewdirs)
        rgb = rgb + (1 - opacity[:, None]) * background
        return RenderOutput(rgb, depth, opacity, extras, n_samples)

    def density(self, x: Float[Tensor, "*batch 3"]) -> tuple[Tensor, Tensor]:
        """Density before its activation, and the feature; empty cells have neither."""
        place = self.grid.lattice.coordinates(x.reshape(-1, 3))
        cell, within = self.grid.locate(place)
        found = (cell >= 0).nonzero().squeeze(1)
        weights = self.grid.weights(cell[found], within[:, found])
        rows = self.grid.rows[cell[found]]
        raw = place.new_full((len(place), 1), _EMPTY_DENSITY)
        feature = place.new_zeros(len(place), self.feature_table.shape[1])
        raw = raw.index_copy(0, found, _gather(self.density_table, rows, weights))
        feature = feature.index_copy(0, found, _gather(self.feature_table, rows, weights))
        return raw.view(x.shape[:-1]), feature.view(*x.shape[:-1], feature.shape[1])

    def activation(self, raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Density sigma per unit length (inside the inner cube, where the region is unbounded)."""
        edge = self.grid.lattice.edge[0] * self.region.half[0]
        return F.softplus(raw + DENSITY_SHIFT) / (2 * edge if self.region.unbounded else edge)

    def color(
        self, feature: Float[Tensor, "*batch channel"], viewdirs: Float[Tensor, "*#batch 3"]
    ) -> Float[Tensor, "*batch 3"]:
        """RGB of a feature alone, as if a ray had met nothing else."""
        flat = feature.reshape(-1, feature.shape[-1])
        directions = viewdirs.expand(*feature.shape[:-1], 3).reshape(-1, 3)
        rgb = self.shader(flat, flat.new_ones(len(flat)), directions).clamp(0, 1)
        return rgb.view(*feature.shape[:-1], 3)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Each part with its name and its own learning rate."""
        return [
            {"name": "density", "params": [self.density_table], "lr": 0.2},
            {"name": "features", "params": [self.feature_table], "lr": 0.03},
            {"name": "network", "params": list(self.shader.parameters()), "lr": 3e-3},
        ]

    @property
    def step_size(self) -> StepSize:
        """As many samples as the stage wants."""
        device = self.stage.device
        samples = scaled_for_device(self.recipe.stages[int(self.stage[0])].samples, device)
        return StepSize(samples, _FIRST_RAYS, scaled_for_device(_MOST_RAYS, device))

    @torch.no_grad()
    def after_step(self, step: int, lr_scale: float) -> None:
        """Total variation, and decay of unsupervised cells, after a training step.

        Args:
            lr_scale: what is left of the learning rates.
        """
        recipe = self.recipe
        samples = scaled_for_device(1, self.stage.device)  # of a step, in those of a processor's
        when = (step, lr_scale, round(samples**recipe.smoothing_growth))
        recipe.density.step(self.grid, self.density_table, *when)
        recipe.features.step(self.grid, self.feature_table, *when)
        if recipe.density_decay is not None:
            recipe.density_decay.step(self.density_table, *when)
        if recipe.feature_decay is not None:
            recipe.feature_decay.step(self.feature_table, *when)

    def grow(
        self, progress: float, step: int, draw: Callable[[int], Rays]
    ) -> list[ParameterReplacement]:
        """Prune cells that are not visible, and divide the others, where it is time to."""
        density, features = self.density_table.detach(), self.feature_table.detach()
        grid = next_grid(
            *(self.stage, self.recipe, self.resolution, self.grid, progress, step),
            lambda: visible_cells(self.grid, density, features, self.recipe, draw),
        )
        if grid is None:
            return []
        old = [self.density_table, self.feature_table]
        rows = None
        if grid.lattice == self.grid.lattice:
            rows = self.grid.rows_of(grid)
            tables = [table.data[rows] for table in old]
        else:
            tables = self.grid.resample([p.data for p in old], [_EMPTY_DENSITY, 0.0], grid)
        self._adopt(grid)
        new = [nn.Parameter(table) for table in tables]
        self.density_table, self.feature_table = new
        return [ParameterReplacement(a, b, rows) for a, b in zip(old, new, strict=True)]

    @torch.no_grad()
    def part(self, mask: Bool[Tensor, "x y z"], recipe: Recipe) -> VoxelField:
        """A field of some of the cells, for pictures; it shares the shading network."""
        grid = VoxelGrid(self.grid.lattice, mask & self.grid.mask)
        rows = self.grid.rows_of(grid)
        # Its own first grid is not used: as coarse as can be.
        part = VoxelField(self.region, _LEAST_RESOLUTION, recipe, self.feature_table.shape[1])
        part.resolution, part.stage = self.resolution, self.stage
        part._adopt(grid)
        part.density_table = nn.Parameter(self.density_table[rows])
        part.feature_table = nn.Parameter(self.feature_table[rows])
        part.background_sh, part.shader = self.background_sh, self.shader
        return part.eval()

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Take the grid along to another device."""
        # Not every device has its double precision, and none needs it.
        box = self._buffers.pop("box")
        module = super()._apply(fn, recurse)
        self._buffers["box"] = box
        if self.grid.mask.device != self.density_table.device:
            mask = self.grid.mask.to(self.density_table.device)
            self.grid = VoxelGrid(self.grid.lattice, mask)
        return module

    def _saved_lattice(self, box: Tensor, dims: Tensor, kept: int) -> Lattice:
        """Of a state with so many cells. Raises ValueError where its numbers are no grid's."""
        low, edge = box.tolist()
        sizes = dims.tolist()
        # Within the region's cube; cells that no file of its size would leave out by the million.
        sound = all(abs(number) < 10 for number in low) and all(1e-6 < size < 10 for size in edge)
        if not sound or min(sizes) < 1 or math.prod(sizes) > max(_CELLS, _CELLS_PER_KEPT * kept):
            raise ValueError(f"a grid of {sizes} cells from {low} in steps of {edge}")
        return Lattice(self.region, tuple(low), tuple(edge), tuple(sizes))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Take the size of the state's tables before their values are read."""
        cells, dims, box = (state_dict.get(prefix + name) for name in ("cells", "dims", "box"))
        if cells is not None and dims is not None and box is not None:
            lattice = self._saved_lattice(box, dims, len(cells))
            device = self.density_table.device
            mask = torch.zeros(lattice.dims, dtype=torch.bool, device=device)
            mask.view(-1)[cells.long().to(device)] = True
            self._adopt(VoxelGrid(lattice, mask))
            channels = self.feature_table.shape[1]
            self.density_table = nn.Parameter(torch.zeros(self.grid.size, 1, device=device))
            self.feature_table = nn.Parameter(torch.zeros(self.grid.size, channels, device=device))
        # Earlier fields had none, or one colour, and another name for it.
        background_sh = state_dict.pop(prefix + "unseen", self.background_sh)
        background_sh = state_dict.get(prefix + "background_sh", background_sh)
        if background_sh.dim() == 1:
            background_sh = F.pad(background_sh[None], (0, 0, 0, 8))
        state_dict[prefix + "background_sh"] = background_sh
        super()._load_from_state_dict(state_dict, prefix, *args)


def _gather(
    table: Tensor, rows: Int[Tensor, "sample corner"], weights: Float[Tensor, "sample corner"]
) -> Float[Tensor, "sample channel"]:
    return F.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)
