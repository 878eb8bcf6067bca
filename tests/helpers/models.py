"""Untrained models of given options, and steps of their training."""

from __future__ import annotations

from typing import Any

import torch

from datasets.scene import Scene
from models import find_model
from models.rendering.renderer import Renderer, TrainingMode
from models.spec import SceneInfo
from opt import TrainOptions, from_dict

# The paper's network, small.
SMALL_NERF = {"netdepth": 2, "netwidth": 16, "netskip": 1}


def options_of(model: Any = "nerf", **values: Any) -> TrainOptions:
    """Options of the training, and of the model itself, by name."""
    return from_dict(TrainOptions, {"model": model, **values})


def build(options: TrainOptions, scene: Scene) -> tuple[dict[str, torch.nn.Module], Renderer]:
    """A model's fields for a scene, and what renders them."""
    assert scene.region is not None
    spec = find_model(options.model)
    info = SceneInfo(scene.region, scene.background, scene.foreground_only)
    recipe = spec.make_recipe(options.config, info)
    fields = spec.build_fields(options.config, info, recipe)
    return fields, spec.build_renderer(fields, options.config, info, recipe)


def training_mode(
    seed: int = 0,
    perturb: float = 0.0,
    noise_std: float = 0.0,
    device: torch.device | str = "cpu",
    **others: Any,
) -> TrainingMode:
    """A training step's, by default with samples at the middles of their intervals."""
    return TrainingMode(torch.Generator(device).manual_seed(seed), perturb, noise_std, **others)
