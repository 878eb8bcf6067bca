"""Fields, sampling and rendering. A new field is one file, and one line in `field_dict`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from datasets.region import Region
from datasets.scene import Scene
from opt import TrainOptions

from .nerf import NeRF
from .rendering import HierarchicalRenderer, Renderer
from .voxels.field import VoxelField
from .voxels.renderer import VoxelRenderer


def _nerf(options: TrainOptions, region: Region) -> NeRF:
    return NeRF(
        options.netdepth, options.netwidth, options.N_emb_xyz, options.N_emb_dir, options.netskip
    )


def _voxels(options: TrainOptions, region: Region) -> VoxelField:
    return VoxelField(region, options.resolution or default_resolution(region))


field_dict: dict[str, Callable[[TrainOptions, Region], nn.Module]] = {
    "nerf": _nerf,
    "voxels": _voxels,
}


def build_fields(options: TrainOptions, scene: Scene) -> dict[str, nn.Module]:
    """Untrained fields as the options have it, under the names that checkpoints know.

    The hierarchical sampler takes a coarse and a fine one; another takes one.
    """
    assert scene.region is not None
    names = ["nerf_coarse"]
    if sampler_of(options) == "hierarchical" and options.N_importance > 0:
        names.append("nerf_fine")
    return {name: field_dict[options.model](options, scene.region) for name in names}


def build_renderer(fields: Mapping[str, Any], options: TrainOptions, scene: Scene) -> Renderer:
    """What renders these fields."""
    field = fields["nerf_coarse"]
    if isinstance(field, VoxelField):
        return VoxelRenderer(field, scene.background)
    return HierarchicalRenderer(
        field,
        fields.get("nerf_fine"),
        options.N_samples,
        options.N_importance,
        options.use_disp,
        scene.background,
    )


def sampler_of(options: TrainOptions) -> str:
    """The sampler of the options, or the model's own."""
    return options.sampler or ("hierarchical" if options.model == "nerf" else "occupancy")


def default_resolution(region: Region) -> int:
    """Cells along the longest side: a little finer than the photos' pixels, within memory."""
    cells = 2 * max(region.half) / (0.86 * region.pixel)
    if region.unbounded:
        return int(min(2 * cells, 256))
    return int(min(cells, 384 if region.flat > 1 else 512))
