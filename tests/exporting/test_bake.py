"""A field that learned from a model's pictures shows what the model does."""

from __future__ import annotations

import pytest
import torch

from api import Model
from errors import UserError
from exporting.bake import bake
from models import find_model
from models.rendering.image import ImageRenderer
from models.voxels.field import VoxelField
from models.voxels.renderer import VoxelRenderer
from opt import TrainOptions
from tests.exporting.web.fields import ball_field, scene_of


def model_of(field: VoxelField, kind: str) -> Model:
    scene, renderer = scene_of(kind), VoxelRenderer(field, 1.0)
    images = ImageRenderer(renderer, renderer.rays_per_chunk)
    options = TrainOptions(model="voxels")
    fields = {"nerf_coarse": field}
    device = torch.device("cpu")
    spec, recipe = find_model("voxels"), field.recipe
    whole = (fields, recipe, renderer, False)
    return Model(scene, options, spec, fields, images, None, device, *whole)


def test_a_baked_field_shows_what_it_learned_from():
    torch.manual_seed(0)
    baked = bake(model_of(ball_field("box"), "box"), 10.0)
    assert baked.alike > 18  # of a white picture: 9 dB
    assert len(baked.field.grid) > 0


def test_a_model_that_shows_nothing_is_refused():
    field = ball_field("box")
    field.density_table.data.fill_(-20)
    with pytest.raises(UserError, match="there is nothing in a ball"):
        bake(model_of(field, "box"), 0.5)
