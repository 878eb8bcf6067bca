"""What differs from kind to kind of scene."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch

from geometry.region import Region
from models.grids.traversal import s_to_t
from models.rendering.occupancy import OccupancyMarchConfig
from models.rendering.output import RenderOutput
from models.voxels.field import VoxelField
from models.voxels.grid import VoxelGrid
from models.voxels.growth import first_grid
from models.voxels.recipe import FORWARD_FACING, OBJECT, UNBOUNDED, Recipe, recipe_for
from models.voxels.renderer import VoxelRenderer
from tests.helpers.voxels import AROUND, BOX, FORWARD, rays_at


def test_rays_begin_where_the_region_is_no_longer_clear():
    region = Region((0.0, 0.0, 0.0), (0.4, 0.4, 0.4), unbounded=True, near_clip=0.6)
    grid = first_grid(region, 32)
    rays = rays_at(AROUND)
    rays = replace(rays, origins=0.3 * rays.origins)

    def nearest(grid: VoxelGrid) -> float:
        grid_rays = grid.lattice.grid_rays(rays)
        samples = grid.sample(grid_rays)
        return float(s_to_t(grid_rays, samples.ray_indices, samples.s).min())

    assert 0.6 <= nearest(grid) < 0.8
    assert 0.2 <= nearest(first_grid(replace(region, near_clip=0.0), 32)) < 0.4


@pytest.mark.parametrize(("region", "known"), [(BOX, True), (AROUND, False), (FORWARD, False)])
def test_a_place_has_its_background_harmonics_behind_what_its_rays_meet(region, known):
    recipe = recipe_for(region)
    assert recipe.known_background is known
    field = VoxelField(region, 64)
    field.background_sh[0] = 0.3
    with torch.no_grad():
        field.density_table.fill_(1.2)  # half transparent
        field.feature_table.zero_()
        field.feature_table[:, 0] = 0.2
    rays = rays_at(BOX if region is BOX else AROUND)
    output = VoxelRenderer(field, 1.0)(rays)
    assert isinstance(output, RenderOutput)
    some = (output.opacity > 0.1) & (output.opacity < 0.95)
    if int(some.sum()) == 0:
        pytest.skip("no ray of this kind is half transparent")
    red = output.rgb[some, 0]
    full = 0.5 + 0.4  # the shader's grey and the two lattices
    behind = 1.0 if known else 0.3
    expected = output.opacity[some] * full + (1 - output.opacity[some]) * behind
    torch.testing.assert_close(red, expected, rtol=1e-3, atol=5e-3)


def test_recipes_can_be_told_apart():
    assert recipe_for(BOX) is OBJECT
    assert recipe_for(AROUND) is UNBOUNDED
    assert recipe_for(FORWARD) is FORWARD_FACING


@pytest.mark.parametrize("recipe", [OBJECT, UNBOUNDED, FORWARD_FACING])
def test_a_recipe_is_read_back_from_plain_values(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(asdict(recipe)))) == recipe


@pytest.mark.parametrize("step", [0.0, -1.0, 1e-30, float("nan")])
def test_a_damaged_step_is_refused(step):
    with pytest.raises(ValueError, match="cells apart"):
        Recipe.from_dict(asdict(OBJECT) | {"step": step})
    with pytest.raises(ValueError, match="cells apart"):
        OccupancyMarchConfig(step=step)
