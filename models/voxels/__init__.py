"""A sparse voxel field that trains in a minute on two cores."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from errors import require
from geometry.rays import Rays
from geometry.region import Region
from models.cropped import Inside
from models.rendering.renderer import Renderer
from models.spec import OPTIMIZER_OPTIONS, Fields, ModelSpec, SceneInfo

from .background import fit_background
from .crop import crop_field, crop_pictures
from .field import VoxelField
from .picture import QuickRenderer
from .recipe import Recipe, recipe_for
from .renderer import VoxelRenderer

# Photos of a place are few for each thing that they show: finer cells show little more of it.
_UNBOUNDED_FINEST, _NDC_FINEST, _OBJECT_FINEST = 256, 384, 512


@dataclass(frozen=True)
class VoxelConfig:
    """Options of the voxel field."""

    resolution: int | None = None
    """cells along the longest side of the scene at the end; by default as fine as the photos'
    pixels, within memory"""
    distortion: float | None = None
    """weight of the distortion loss, which penalises the spread of weights along a ray (mip-NeRF
    360); by default none"""

    def __post_init__(self) -> None:
        require(
            self.resolution is None or self.resolution >= 16,
            f"--resolution must be at least 16, not {self.resolution}",
        )
        require(
            self.distortion is None or 0 <= self.distortion < math.inf,
            f"--distortion must not be negative, nor without end: {self.distortion}",
        )


def default_resolution(region: Region) -> int:
    """Cells along the longest side: a little finer than the photos' pixels, within memory."""
    cells = region.pixels_across
    if region.unbounded:
        return int(min(2 * cells, _UNBOUNDED_FINEST))
    return int(min(cells, _NDC_FINEST if region.z_anisotropy > 1 else _OBJECT_FINEST))


def _make_recipe(config: VoxelConfig, scene: SceneInfo) -> Recipe:
    recipe = recipe_for(scene.region)
    return recipe if config.distortion is None else replace(recipe, distortion=config.distortion)


def _build_fields(config: VoxelConfig, scene: SceneInfo, recipe: Recipe) -> dict[str, nn.Module]:
    resolution = config.resolution or default_resolution(scene.region)
    return {"nerf_coarse": VoxelField(scene.region, resolution, recipe)}


def _build_renderer(
    fields: Fields, config: VoxelConfig, scene: SceneInfo, recipe: Recipe
) -> Renderer:
    return VoxelRenderer(fields["nerf_coarse"], scene.background)


def _prepare(fields: Fields, scene: SceneInfo, rays: Rays, rgbs: Float[Tensor, "ray 3"]) -> None:
    field = fields["nerf_coarse"]
    field.background_sh.copy_(fit_background(rays, rgbs, field.region))


def _after_step(fields: Fields, step: int, lr_scale: float) -> None:
    fields["nerf_coarse"].after_step(step, lr_scale)


def _crop(fields: Fields, inside: Inside) -> Fields:
    return {**fields, "nerf_coarse": crop_field(fields["nerf_coarse"], inside)}


SPEC = ModelSpec(
    "voxels",
    "a sparse voxel field that trains in a minute on two cores",
    VoxelConfig,
    _make_recipe,
    Recipe.from_dict,
    _build_fields,
    _build_renderer,
    for_pictures=QuickRenderer.of,
    crop=_crop,
    crop_pictures=crop_pictures,
    loss="huber",
    grows=True,
    adapts_batch=lambda config: True,
    random_background=True,
    depth_supervision=True,
    exposures=True,
    in_parts=True,
    unused_options=OPTIMIZER_OPTIONS | {"compile"},
    prepare=_prepare,
    after_step=_after_step,
)
