"""Trained scenes in a notebook: load a checkpoint, render.

from api import load
model = load("ckpts/pig/last.ckpt")
out = model.render(model.scene.cameras[0])
out.rgb, out.depth, out.opacity  # (height, width, 3), (height, width), (height, width)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cli import fits
from datasets import load_scene
from datasets.config import SceneConfig
from datasets.scene import Scene
from errors import UserError
from geometry.cameras import Cameras
from geometry.crop import CropBox
from geometry.region import find_region
from models import find_model
from models.appearance.exposure import Appearance
from models.appearance.nearby import NearbyExposure
from models.parallel import use_device
from models.refinement.cameras import CameraRefinement
from models.rendering.depth import surface_distance
from models.rendering.image import ImageRenderer
from models.rendering.renderer import Renderer
from models.spec import Fields, ModelSpec, SceneInfo
from opt import TrainOptions, from_checkpoint, from_dict
from training.checkpoints import Checkpoint, read_checkpoint, write_crop
from training.distributed.devices import resolve_device

__all__ = ["Image", "Model", "load", "load_scene_files", "save_crop"]


@dataclass(frozen=True)
class Image:
    """A rendered view.

    Attributes:
        rgb: colours in [0, 1].
        depth: distance along each pixel's ray in scene units; 0 is background.
        opacity: from 0 to 1.
    """

    rgb: Float[Tensor, "height width 3"]
    depth: Float[Tensor, "height width"]
    opacity: Float[Tensor, "height width"]


@dataclass(frozen=True)
class Model:
    """A trained scene.

    Attributes:
        scene: cameras, splits, bounds and units; photos only where its files are at hand.
        options: of the training.
        spec: of the model.
        fields: the trained modules by name; "nerf_coarse" has density(x) and color(feature,
            viewdirs) at points of the scene.
        renderer: of rays, in chunks; ImageRenderer.
        exposure: of views without a photo, where the training photos had their own.
        device: where it renders.
        whole: `fields` without the scene's crop.
        recipe: constants that the model renders with.
        training_renderer: what it was trained through, differentiable with respect to rays.
        poses_refined: the scene's training cameras and its lens were refined (--refine_poses).
    """

    scene: Scene
    options: TrainOptions
    spec: ModelSpec
    fields: Fields
    renderer: ImageRenderer
    exposure: NearbyExposure | None
    device: torch.device
    whole: Fields
    recipe: Any
    training_renderer: Renderer
    poses_refined: bool

    def cropped(self, crop: CropBox | None, for_pictures: bool = False) -> Model:
        """The same scene without what lies outside of a box; None shows all of it.

        Args:
            for_pictures: `fields` may stay whole, so that it takes no time: for `render` alone.
        """
        scene, fields = replace(self.scene, crop=crop), self.whole
        sooner = self.spec.crop_pictures if for_pictures and crop is not None else None
        if crop is not None and sooner is None:
            fields = self.spec.crop(fields, scene.is_shown)
        assert scene.region is not None
        info = SceneInfo(scene.region, scene.background, scene.foreground_only)
        renderer = self.spec.build_renderer(fields, self.options.config, info, self.recipe)
        images = self.spec.image_renderer(renderer)
        if sooner is not None:
            quick = sooner(images.render, scene.is_shown)
            images = ImageRenderer(quick, quick.rays_per_chunk)
        return replace(self, scene=scene, fields=fields, renderer=images)

    def render(self, camera: Cameras, size: tuple[int, int] | None = None) -> Image:
        """What one camera sees.

        Args:
            camera: a set of one, in scene units: model.scene.cameras[0], or Cameras of your own.
            size: (width, height) in pixels; by default the camera's own.

        Raises ValueError for several cameras.
        """
        if len(camera) != 1:
            raise ValueError(f"render takes one camera, not {len(camera)}; index them")
        camera = (camera if size is None else camera.resized(*size)).to(self.device)
        output = self.renderer.view(camera, self.scene.bounds, 0)
        if self.exposure is not None:
            output = self.exposure(output, camera.c2w[0], self.scene.background)
        width, height = camera.size[0].tolist()
        return Image(
            output.rgb.view(height, width, 3),
            surface_distance(output, camera, self.scene.bounds, 0),
            output.opacity.view(height, width),
        )


def load(ckpt_path: str | Path, accelerator: str = "auto") -> Model:
    """A trained scene from a checkpoint of train.py, or a file of --export_weights.

    Args:
        accelerator: auto, cpu, gpu, cuda or mps.

    Raises UserError where the file is missing, damaged or not a checkpoint, or the device absent.
    """
    checkpoint = read_checkpoint(Path(ckpt_path))
    if checkpoint.scene is None:
        raise UserError(f"{ckpt_path}: a checkpoint of nerf_pl has no scene; use eval.py")
    options = from_checkpoint(checkpoint.options, ckpt_path)
    try:
        return load_model(checkpoint, options, checkpoint.scene, resolve_device(accelerator))
    except UserError as error:
        raise UserError(f"{ckpt_path}: {error}") from error


def save_crop(ckpt_path: str | Path, crop: CropBox | None) -> None:
    """Write a crop into a checkpoint: eval.py, the exports and `load` show what is in it alone.

    Everything else in the checkpoint stays; None shows all of the scene again.

    Raises UserError where the file is missing, damaged or not a checkpoint of train.py, OSError
    where it cannot be written.
    """
    write_crop(Path(ckpt_path), crop)


def load_scene_files(root_dir: str | Path, dataset_name: str, **more: Any) -> Scene:
    """A scene with its photos, from its files.

    Args:
        more: further fields of datasets.config.SceneConfig.

    Raises UserError where files are missing or wrong.
    """
    return load_scene(SceneConfig(root_dir=str(root_dir), dataset_name=dataset_name, **more))


def load_model(
    checkpoint: Checkpoint, options: TrainOptions, scene: Scene, device: torch.device
) -> Model:
    """The trained fields of a checkpoint, ready to render a scene.

    Args:
        options: the checkpoint's, or others for the evaluation (EvalOptions.over).
        scene: the checkpoint's, or one with other cameras in the same space.

    Raises UserError where the weights do not fit the options.
    """
    if scene.region is None:  # of a checkpoint from before regions
        train = scene.cameras[scene.splits["train"]]
        region = find_region(train, scene.bounds, scene.foreground_only)
        scene = replace(scene, region=region)
    assert scene.region is not None
    spec = find_model(options.model)
    use_device(device, spec.in_parts)
    info = SceneInfo(scene.region, scene.background, scene.foreground_only)
    trained = from_dict(TrainOptions, checkpoint.options).config
    recipe = spec.make_recipe(trained, info)
    if checkpoint.recipe is not None:
        recipe = _load_recipe(spec, checkpoint.recipe)
    fields: Fields = spec.build_fields(trained, info, recipe)
    for name, field in fields.items():
        try:
            field.load_state_dict(checkpoint.part(name))
        except (RuntimeError, TypeError, ValueError, LookupError) as error:
            # Of other shapes, or (a grid's extent) of other types.
            raise UserError(f"the checkpoint has no {name} that fits its options") from error
        field.to(device).eval()
    fields = spec.convert(fields, trained, options.config, info, recipe, device)
    renderer = spec.build_renderer(fields, options.config, info, recipe)
    images, exposure = spec.image_renderer(renderer), _exposure(checkpoint, options)
    refined = _refined(checkpoint, scene)
    model = Model(
        *(scene if refined is None else refined, options, spec, fields, images, exposure, device),
        *(fields, recipe, renderer, refined is not None),
    )
    return model if scene.crop is None else model.cropped(scene.crop)


def _load_recipe(spec: ModelSpec, values: dict[str, Any]) -> Any:
    try:
        recipe = spec.load_recipe(values)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"the recipe is damaged ({error!r})") from error
    if not fits(recipe, type(recipe)):
        raise UserError("the recipe is damaged: a value has another type than it should")
    return recipe


def _refined(checkpoint: Checkpoint, scene: Scene) -> Scene | None:
    """The scene with the cameras that training refined; None where it did not."""
    state = checkpoint.part("refinement")
    if not state:
        return None
    train = scene.splits["train"]
    refinement = CameraRefinement(scene.cameras[train])
    try:
        refinement.load_state_dict(state)
    except RuntimeError as error:
        raise UserError("the checkpoint's refined cameras are not those of its photos") from error
    return replace(scene, cameras=refinement.corrected(scene.cameras, train))


def _exposure(checkpoint: Checkpoint, options: TrainOptions) -> NearbyExposure | None:
    """Of views without a photo, where the training photos had their own unasked."""
    state = checkpoint.part("appearance")
    if not state or checkpoint.scene is None or options.encode_appearance:
        return None
    train = checkpoint.scene.splits["train"]
    appearance = Appearance(len(train))
    try:
        appearance.load_state_dict(state)
    except RuntimeError as error:
        raise UserError("the checkpoint's exposures are not those of its photos") from error
    return NearbyExposure(checkpoint.scene.cameras[train], appearance)
