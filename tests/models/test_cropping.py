"""Of two blobs, one is cropped away: the other's pixels stay, the background is where it was."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from geometry.crop import CropBox
from geometry.ndc import NDC
from geometry.rays import Rays
from geometry.region import Region
from models import find_model
from models.grids.occupancy import estimate_occupancy
from models.rendering.output import RenderOutput
from models.spec import Fields, SceneInfo
from models.voxels.crop import crop_pictures
from models.voxels.field import VoxelField
from models.voxels.picture import QuickRenderer
from tests.helpers.ball_field import Ball
from tests.helpers.voxels import AROUND, BOX, FORWARD, REGIONS, rays_at

BACKGROUND = 0.7


class TwoBalls(torch.nn.Module):
    """Solid balls at x = 0.5 and x = -0.5, with the colours of their places."""

    def __init__(self) -> None:
        super().__init__()
        self.balls = [Ball(60.0, 0.35, (x, 0.0, 0.0)) for x in (0.5, -0.5)]

    def density(self, x):
        return sum(ball.density(x)[0] for ball in self.balls), x

    def activation(self, raw):
        return raw.clamp_min(0)

    def color(self, feature, viewdirs):
        return self.balls[0].color(feature, viewdirs)


def two_blobs(region: Region) -> VoxelField:
    field = VoxelField(region, 160)
    x = field.grid.lattice.points(field.grid.corner_coordinates())
    unit = (x - torch.tensor(region.center)) / torch.tensor(region.half)
    inside = [0.3 - (unit - torch.tensor([at, 0.0, 0.0])).norm(dim=1) for at in (0.5, -0.5)]
    with torch.no_grad():
        field.density_table.zero_()
        field.feature_table.zero_()
        field.density_table[: len(x), 0] = (100 * torch.maximum(*inside)).clamp(-30, 30)
        field.feature_table[: len(x), :3] = unit.clamp(-1, 1)
    return field.eval()


def images(model: str, fields: Fields, region: Region, rays: Rays, **values: Any) -> RenderOutput:
    spec = find_model(model)
    config = spec.config(**values)
    info = SceneInfo(region, BACKGROUND, not region.unbounded)
    recipe = spec.make_recipe(config, info)
    return spec.image_renderer(spec.build_renderer(fields, config, info, recipe))(rays)


def check(whole: RenderOutput, cropped: RenderOutput, only: RenderOutput) -> None:
    """Against what the kept blob shows alone.

    Args:
        only: the other blob alone.
    """
    kept = (whole.opacity > 0.999) & (only.opacity == 0)
    gone = (whole.opacity > 0.999) & (cropped.opacity == 0)
    assert kept.sum() > 10
    assert gone.sum() > 10
    assert torch.allclose(cropped.rgb[kept], whole.rgb[kept], atol=2e-3)
    assert torch.allclose(cropped.depth[kept], whole.depth[kept], atol=2e-2)
    assert (cropped.rgb[gone] == BACKGROUND).all()
    # What both let through together is what the whole scene does.
    through = (1 - cropped.opacity) * (1 - only.opacity)
    assert torch.allclose(through, 1 - whole.opacity, atol=3e-3)


@REGIONS
def test_voxels(region):
    spec, ndc = find_model("voxels"), NDC(1.0, 1.0) if region is FORWARD else None
    field = {"nerf_coarse": two_blobs(region)}
    x, y, z = region.center
    long = 100.0
    # In the scene a place of NDC's half x > 0 is one of x > 0.
    right = CropBox((x + long, y, z - long * (ndc is not None)), (long, long, long))
    left = CropBox((x - long, y, z - long * (ndc is not None)), (long, long, long))
    rays = rays_at(region, 3000)
    shown = [
        images("voxels", fields, region, rays)
        for fields in (
            field,
            *(spec.crop(field, partial(box.contains, ndc=ndc)) for box in (right, left)),
        )
    ]
    check(*shown)
    # The same, made sooner.
    inside = partial(right.contains, ndc=ndc)
    quick = crop_pictures(QuickRenderer(field["nerf_coarse"], BACKGROUND), inside)(rays)
    assert torch.allclose(quick.rgb, shown[1].rgb, atol=2e-3)
    assert torch.allclose(quick.opacity, shown[1].opacity, atol=2e-3)  # where rays stop
    assert torch.allclose(quick.depth, shown[1].depth, atol=1e-2)
    assert field["nerf_coarse"].recipe.known_background == (region is BOX)
    assert (region is AROUND) == region.unbounded


@pytest.mark.parametrize("sampler", ["hierarchical", "occupancy"])
def test_fields_that_are_evaluated_at_points(sampler):
    region = Region((0.0, 0.0, 0.0), (1.2, 1.2, 1.2))
    balls, spec = TwoBalls(), find_model("nerf")
    fields: dict[str, Any] = {"nerf_coarse": balls}
    if sampler == "occupancy":
        fields["occupancy"] = estimate_occupancy(balls, region, 32)
    else:
        fields["nerf_fine"] = balls
    rays = rays_at(region, 400)
    boxes = [CropBox((x, 0.0, 0.0), (2.0, 9.0, 9.0)) for x in (2.0, -2.0)]
    shown = [
        images("nerf", chosen, region, rays, sampler=sampler, N_samples=256)
        for chosen in (fields, *(spec.crop(fields, box.contains) for box in boxes))
    ]
    check(*shown)
