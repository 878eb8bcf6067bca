"""Any trained model as a voxel field, which learns from the model's own pictures (distillation).

The pictures are of the training cameras, with as many pixels as the model renders in the time that
there is; the field is trained on them as it would be on photos (train.NeRFSystem).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from api import Model
from datasets.loaders.ray_loader import RayBatch, RayLoader
from datasets.photos import Photos
from errors import UserError
from evaluation.flight import rays_per_second
from geometry.cameras import Cameras
from geometry.rays import Rays, image_rays
from geometry.region import find_region
from models import find_model
from models.rendering.renderer import TrainingMode
from models.spec import Fields, SceneInfo
from models.voxels.field import VoxelField
from models.voxels.renderer import VoxelRenderer
from training.optim.config import OptimizerConfig
from training.optim.optimizers import growing_optimizer
from training.randomness import step_generator
from writing.progress import progress_bar

from .alike import psnr_between

# Of the time, for the model's pictures; the rest is the field's training.
_FOR_PICTURES = 0.5
# Pixels of all pictures together, and the shorter side that each has at least.
_MOST_PIXELS, _LEAST_SIDE = 40_000_000, 8
# Of a pixel of these pictures, in those of a photo.
_FOOTPRINT = 0.5
# What is left of the learning rates at the end; the largest part of an error that is squared.
_LR_DECAY, _HUBER = 0.05, 0.1
_PREPARE_RAYS = 1 << 16
_BAR = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total} s"
# Longer side of the pictures that the two are compared by.
_COMPARED_SIDE = 200


@dataclass(frozen=True)
class Baked:
    """A voxel field of another model.

    Attributes:
        field: the field.
        alike: PSNR in dB of its pictures against the model's, at cameras that it was not trained
            on where there are any.
    """

    field: VoxelField
    alike: float


def bake(model: Model, seconds: float) -> Baked:
    """Train a voxel field on what a model renders.

    Args:
        seconds: that it may take, for pictures and training together.

    Raises UserError where the model shows nothing.
    """
    scene, spec = model.scene, find_model("voxels")
    cameras = _teaching(model, _FOR_PICTURES * seconds)
    photos = _pictures(model, cameras)
    assert scene.region is not None
    # Cells as fine as the pictures tell of; these agree better than photos do.
    found = find_region(_whole(cameras), scene.bounds, scene.foreground_only)
    footprint = max(scene.region.pixel_footprint, _FOOTPRINT * found.pixel_footprint)
    region = replace(scene.region, pixel_footprint=footprint)
    info = SceneInfo(region, scene.background, scene.foreground_only)
    config = spec.config()
    fields: Fields = spec.build_fields(config, info, spec.make_recipe(config, info))
    field: VoxelField = fields["nerf_coarse"].to(model.device)
    rays = RayLoader(
        *(photos, _whole(cameras), scene.bounds, _PREPARE_RAYS),
        device=model.device,
        endless=True,
    )
    some = next(iter(rays))
    spec.prepare(fields, info, some.rays, some.rgbs)
    _train(field, rays, scene.background, (1 - _FOR_PICTURES) * seconds)
    field.eval()
    if scene.crop is not None:  # fog that the training may have left outside
        fields = spec.crop(fields, scene.is_shown)
        field = fields["nerf_coarse"]
    renderer = spec.image_renderer(spec.build_renderer(fields, config, info, field.recipe))
    alike = psnr_between(model.scene, model.device, model.renderer, renderer, _COMPARED_SIDE)
    return Baked(field, alike)


def _teaching(model: Model, seconds: float) -> list[Cameras]:
    """The training cameras, one by one, with as many pixels as are rendered in so many seconds."""
    train = model.scene.cameras[model.scene.splits["train"]]
    speed = rays_per_second(model.renderer, model.scene, str(model.device))
    pixels = int(train.size.prod(dim=1).sum())
    factor = min(1.0, (min(_MOST_PIXELS, speed * seconds) / pixels) ** 0.5)
    cameras = []
    for index in range(len(train)):
        width, height = train.size[index].tolist()
        size = (max(_LEAST_SIDE, round(side * factor)) for side in (width, height))
        cameras.append(train[index].resized(*size))
    return cameras


def _whole(cameras: list[Cameras]) -> Cameras:
    return Cameras(
        torch.cat([camera.c2w for camera in cameras]),
        torch.cat([camera.intrinsics for camera in cameras]),
        torch.cat([camera.size for camera in cameras]),
    )


def _pictures(model: Model, cameras: list[Cameras]) -> Photos:
    """What the model shows, as photos; of an object with the opacity of their pixels, where the
    model learned it. Others may show the background as something that is as white."""
    scene, pixels, opacity = model.scene, [], []
    for camera in progress_bar(cameras, desc="pictures to learn from", unit="view"):
        output = model.renderer(image_rays(camera.to(model.device), scene.bounds, 0))
        pixels.append(_bytes(output.rgb))
        opacity.append(_bytes(output.opacity))
    counts = torch.tensor([0, *(len(part) for part in pixels)])
    alpha = torch.cat(opacity)
    if scene.foreground_only and int(alpha.max()) < 10:
        raise UserError(f"there is nothing in {scene.name} that a photo's camera would show")
    widths = torch.tensor([int(camera.size[0, 0]) for camera in cameras])
    return Photos(
        *(torch.cat(pixels), widths, counts.cumsum(0)),
        alpha=alpha if scene.foreground_only and model.spec.random_background else None,
    )


def _bytes(values: Tensor) -> UInt8[Tensor, "..."]:
    return (255 * values.clamp(0, 1)).round().byte().cpu()


def _train(field: VoxelField, rays: RayLoader, background: float, seconds: float) -> None:
    """Train as train.NeRFSystem and its callback Growing do."""
    renderer = VoxelRenderer(field, background)
    optimizer = growing_optimizer(field, OptimizerConfig(), [])
    rays.batch_size = field.step_size.first
    start, progress, step = time.perf_counter(), 0.0, 0
    with progress_bar(total=round(seconds), desc="baking", unit="s", bar_format=_BAR) as bar:
        for batch in rays:
            progress = (time.perf_counter() - start) / seconds
            if progress >= 1:
                break
            bar.update(int(progress * seconds) - bar.n)
            scale = _LR_DECAY**progress
            for group in optimizer.param_groups:
                group["lr"] = scale * group["initial_lr"]
            generator = step_generator(0, step, 0, rays.device)
            for replaced in field.grow(progress, step, partial(_draw, rays, generator)):
                optimizer.replace(*replaced)
            samples = _step(renderer, optimizer, batch, background, generator)
            field.after_step(step, scale)
            step += 1
            # Half of the way to as many rays as make the number of samples that a step wants.
            size = field.step_size
            wanted = 0.5 * (1 + size.samples / max(1, samples)) * len(batch.rgbs)
            if step % 8 == 0:
                rays.batch_size = int(min(max(256, wanted), size.most))


def _draw(rays: RayLoader, generator: torch.Generator, count: int) -> Rays:
    return rays.draw(count, generator)


def _step(
    renderer: VoxelRenderer,
    optimizer: torch.optim.Optimizer,
    batch: RayBatch,
    background: float,
    generator: torch.Generator,
) -> int:
    """One step; returns its samples."""
    rgbs, behind = batch.rgbs, None
    if batch.alpha is not None or not renderer.field.recipe.known_background:
        behind = torch.rand(rgbs.shape, generator=generator, device=rgbs.device)
        rgbs = batch.over(behind, instead_of=background)
    mode = TrainingMode(generator, background=behind)
    output = renderer.render_train(batch.rays, mode)["voxels"]
    optimizer.zero_grad()
    F.huber_loss(output.rgb, rgbs, delta=_HUBER).backward()
    optimizer.step()
    return output.n_samples
