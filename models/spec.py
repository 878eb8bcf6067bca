"""All that is particular to a model, in one place beside it; the registry is models/__init__.py.

Whoever trains or evaluates goes by the ModelSpec and never asks which model it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geometry.rays import Rays
from geometry.region import Region

from .cropped import Inside, crop_points
from .rendering.image import ImageRenderer
from .rendering.renderer import PictureRenderer, Renderer

Fields = Mapping[str, Any]

# Options of the optimizer that a model with learning rates and a schedule of its own has no use
# for; --lr alone scales its rates.
OPTIMIZER_OPTIONS = frozenset(
    (
        *("optimizer", "momentum", "weight_decay", "lr_scheduler", "warmup_multiplier"),
        *("warmup_epochs", "decay_step", "decay_gamma", "poly_exp"),
    )
)


@dataclass(frozen=True)
class SceneInfo:
    """What a model may know of its scene.

    Attributes:
        region: the box that a field with a grid covers.
        background: grey level behind everything.
        foreground_only: there is nothing but an object in the region.
    """

    region: Region
    background: float
    foreground_only: bool


def _nothing(*args: Any) -> None:
    """A hook that a model does not need."""


def _same(fields: Fields, *args: Any) -> Fields:
    return fields


@dataclass(frozen=True)
class ModelSpec:
    """A model: its options, how it is built, and how it wants to be trained.

    Args:
        name: of --model.
        help: a few words for --help and the documentation.
        config: frozen dataclass of the model's own options; its fields become flags.
        make_recipe: (config, scene) -> frozen dataclass of the constants that the model is
            trained and rendered with. A checkpoint keeps it.
        load_recipe: plain values of a recipe -> recipe.
        build_fields: (config, scene, recipe) -> untrained modules, by the names that checkpoints
            know; "nerf_coarse" is the field, or the coarse one of two.
        build_renderer: (fields, config, scene, recipe) -> Renderer.
        for_pictures: renderer -> what renders the same for the eye, where that is faster.
        convert: (fields, trained config, config, scene, recipe, device) -> what build_renderer
            takes for other options of evaluation than those of the training.
        crop: (fields, inside) -> the same fields without what lies outside; what is behind them is
            the scene's background then. `inside` says of points (*point, 3) which are kept.
        crop_pictures: (renderer of pictures, inside) -> one that shows the same as of cropped
            fields and is made sooner; None where there is nothing sooner than `crop`.
        loss: --loss_type by default.
        batch_size: rays of a step by default.
        lr: --lr by default, of a model that does not grow; one that does has its own rates.
        grows: the field is a GrowingField: LazyAdam with rates and a decay of its own, pass after
            pass over the photos without epochs.
        adapts_batch: config -> the number of rays follows the samples that they take
            (GrowingField.step_size).
        random_background: trained before random colours where the background is known or photos
            are transparent, so that fog cannot stand in for it.
        depth_supervision: the renderer takes TrainingMode.limited.
        exposures: photos of a place get exposures of their own unasked.
        compiles: the fields' methods can be compiled (--compile).
        in_parts: computes on parts of a batch, one thread each.
        unused_options: common options that mean nothing here, and are refused.
        prepare: (fields, scene, rays, rgbs) -> None, once before training, with random training
            pixels.
        before_step: (fields, step) -> None, with the steps done.
        after_step: (fields, step, lr_scale) -> None, with what is left of the learning rates.
    """

    name: str
    help: str
    config: type
    make_recipe: Callable[[Any, SceneInfo], Any]
    load_recipe: Callable[[dict[str, Any]], Any]
    build_fields: Callable[[Any, SceneInfo, Any], dict[str, nn.Module]]
    build_renderer: Callable[[Fields, Any, SceneInfo, Any], Renderer]
    for_pictures: Callable[[Any], PictureRenderer] = lambda renderer: renderer
    convert: Callable[..., Fields] = _same
    crop: Callable[[Fields, Inside], Fields] = crop_points
    crop_pictures: Callable[[Any, Inside], PictureRenderer] | None = None
    loss: str = "mse"
    batch_size: int = 1024
    lr: float = 5e-4
    grows: bool = False
    adapts_batch: Callable[[Any], bool] = lambda config: False
    random_background: bool = False
    depth_supervision: bool = False
    exposures: bool = False
    compiles: bool = False
    in_parts: bool = False
    unused_options: frozenset[str] = frozenset()
    prepare: Callable[[Fields, SceneInfo, Rays, Float[Tensor, "ray 3"]], None] = _nothing
    before_step: Callable[[Fields, int], None] = _nothing
    after_step: Callable[[Fields, int, float], None] = _nothing

    def image_renderer(self, renderer: Renderer) -> ImageRenderer:
        """What renders whole images with the fields of `renderer`."""
        quick = self.for_pictures(renderer)
        return ImageRenderer(quick, quick.rays_per_chunk)

    def uses(self, option: str) -> bool:
        """Whether a common option means something here."""
        return option not in self.unused_options


def compile_fields(fields: Fields) -> None:
    """Compile the fields' methods with torch.compile (--compile)."""
    for field in fields.values():
        field.density = torch.compile(field.density)
        field.color = torch.compile(field.color)
