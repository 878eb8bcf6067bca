"""Untrained models of given options."""

from __future__ import annotations

from typing import Any

import torch

from datasets.scene import Scene
from models import find_model
from models.rendering.renderer import Renderer
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
