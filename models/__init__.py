"""Fields, sampling and rendering. A new field is one file, and one line in `field_dict`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from datasets.images import Photos
from datasets.region import Region
from datasets.scene import Scene
from datasets.sightings import SparseDepth
from opt import TrainOptions

from .appearance import SMALL_CHANGES, Appearance
from .nerf import NeRF
from .occupancy import Occupancy
from .occupancy_rendering import OccupancyRenderer
from .occupied import MovingOccupancy, occupancy_of
from .rendering import HierarchicalRenderer, Renderer
from .tensorf import TensoRF
from .voxels.field import VoxelField
from .voxels.renderer import VoxelRenderer


def _nerf(options: TrainOptions, region: Region) -> NeRF:
    return NeRF(
        options.netdepth, options.netwidth, options.N_emb_xyz, options.N_emb_dir, options.netskip
    )


def _tensorf(options: TrainOptions, region: Region) -> TensoRF:
    cells = (2 if region.unbounded else 1) * _pixels_across(region)
    return TensoRF(region, options.resolution or max(16, min(int(cells), _TENSORF_FINEST)))


def _voxels(options: TrainOptions, region: Region) -> VoxelField:
    field = VoxelField(region, options.resolution or default_resolution(region))
    if options.distortion is not None:
        field.recipe = replace(field.recipe, distortion=options.distortion)
    return field


# Photos of a place are few for each thing that they show: finer cells show little more of it. The
# toy had 24.5 dB after 3 minutes (mean of two seeds), with 192 24.1 dB (of one).
_UNBOUNDED_FINEST = 256
# The paper's 300^3: planes, gradients and moments are 0.3 GB then.
_TENSORF_FINEST = 300
# Cells of an occupancy grid along the region's longest side.
_CELLS = 128
# Steps between looks at the occupancy of a field in training: TensoRF's changes sooner.
_LOOKS = {"nerf": 16, "tensorf": 4}
# Samples of less weight are not asked for their colours in training: TensoRF's density is nowhere
# zero, and it would spend most of its time on these.
_FAINT = {"nerf": 0.0, "tensorf": 1e-4}

field_dict: dict[str, Callable[[TrainOptions, Region], nn.Module]] = {
    "nerf": _nerf,
    "tensorf": _tensorf,
    "voxels": _voxels,
}


def build_fields(options: TrainOptions, scene: Scene) -> dict[str, nn.Module]:
    """Untrained fields as the options have it, under the names that checkpoints know.

    With the hierarchical sampler NeRF is a coarse and a fine network; TensoRF, whose colours cost
    more than its densities, is one field in both passes. With the occupancy sampler a field
    brings along the cells that it fills, but for voxels, which are such cells.
    """
    assert scene.region is not None
    names = ["nerf_coarse"]
    marches = sampler_of(options) == "occupancy"
    if options.model == "nerf" and not marches and options.N_importance > 0:
        names.append("nerf_fine")
    fields = {name: field_dict[options.model](options, scene.region) for name in names}
    if marches and options.model != "voxels":
        fields["occupancy"] = MovingOccupancy(scene.region, _CELLS, _LOOKS[options.model])
    return fields


def change_sampler(
    fields: Mapping[str, Any], options: TrainOptions, scene: Scene, device: torch.device
) -> dict[str, Any]:
    """What `build_renderer` takes for the sampler of the options, of trained fields (on `device`)
    that another sampler trained: the finest of them, which saw the best samples."""
    field = fields.get("nerf_fine", fields["nerf_coarse"])
    if sampler_of(options) == "hierarchical":
        return {"nerf_coarse": field, "nerf_fine": field}
    assert scene.region is not None
    return {
        "nerf_coarse": field,
        "occupancy": occupancy_of(field, scene.region, _CELLS, device=device),
    }


def build_renderer(
    fields: Mapping[str, Any],
    options: TrainOptions,
    scene: Scene,
    depth: SparseDepth | None = None,
) -> Renderer:
    """What renders these fields.

    Args:
        depth: supervises a voxel field in training.
    """
    field = fields["nerf_coarse"]
    if isinstance(field, VoxelField):
        return VoxelRenderer(field, scene.background, depth)
    occupancy: Occupancy | MovingOccupancy | None = fields.get("occupancy")
    if occupancy is not None:
        faint = _FAINT[options.model]
        endless = options.model == "nerf" or not scene.cutout
        return OccupancyRenderer(field, occupancy, scene.background, faint=faint, endless=endless)
    fine = fields.get("nerf_fine")
    if options.model == "tensorf" and options.N_importance > 0:
        fine = field
    return HierarchicalRenderer(
        field,
        fine,
        options.N_samples,
        options.N_importance,
        options.use_disp,
        scene.background,
    )


def build_appearance(options: TrainOptions, scene: Scene) -> Appearance | None:
    """The training photos' exposures: those that were asked for, or a phone's small changes, which
    `voxels` allows for in photos of a place."""
    photos, asked = len(scene.splits["train"]), options.encode_appearance
    if asked:
        return Appearance(photos)
    if asked is None and options.model == "voxels" and not scene.cutout:
        return Appearance(photos, SMALL_CHANGES)
    return None


def sparse_depth(scene: Scene, photos: Photos) -> SparseDepth | None:
    """Draws rays towards the points that training photos show, where points are known."""
    train = scene.splits["train"]
    sightings = scene.sightings()
    if sightings is None:
        return None
    cameras = scene.cameras[train]
    seen = sightings.of(train).shown(photos, cameras)
    return SparseDepth(seen, cameras, scene.bounds) if len(seen) else None


def sampler_of(options: TrainOptions) -> str:
    """The sampler of the options, or the model's own."""
    return options.sampler or ("hierarchical" if options.model == "nerf" else "occupancy")


def default_resolution(region: Region) -> int:
    """Cells along the longest side: a little finer than the photos' pixels, within memory."""
    cells = _pixels_across(region)
    if region.unbounded:
        return int(min(2 * cells, _UNBOUNDED_FINEST))
    return int(min(cells, 384 if region.flat > 1 else 512))


def _pixels_across(region: Region) -> float:
    """Cells along the longest side that are a little finer than the photos' pixels."""
    return 2 * max(region.half) / (0.86 * region.pixel)
