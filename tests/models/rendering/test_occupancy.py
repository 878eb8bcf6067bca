"""Rendering through occupied cells: against closed forms and a dense twin."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from geometry.rays import Rays
from geometry.region import Region
from models.grids.cells import OccupiedCells
from models.grids.lattice import Lattice
from models.grids.occupancy import estimate_occupancy
from models.grids.traversal import t_to_s
from models.nerf.network import NeRF
from models.rendering.compositing import composite, render_weight_from_density
from models.rendering.image import ImageRenderer
from models.rendering.occupancy import OccupancyMarchConfig, OccupancyRenderer
from models.tensorf.field import TensoRF
from tests.helpers.ball_field import CUBE, Ball, chord, make_rays
from tests.helpers.grids import t_of
from tests.helpers.models import training_mode


@pytest.mark.parametrize("sigma", [0.3, 2.0])
@pytest.mark.parametrize("step", [1.0, 0.5])
def test_a_ball_lets_through_what_the_closed_form_says(sigma, step):
    field = Ball(sigma)
    rays = make_rays()
    occupancy = estimate_occupancy(field, CUBE, 64)
    picture = OccupancyRenderer(field, occupancy, 0.0, OccupancyMarchConfig(step=step))(rays)
    expected = 1 - torch.exp(-sigma * chord(rays, 1.0))
    # A chord is a number of steps long, give or take one.
    error = (picture.opacity - expected).abs()
    assert error.max() < sigma * step * 3 / 64 + 2e-3
    assert error.mean() < 0.3 * sigma * step * 3 / 64 + 1e-3
    hit = chord(rays, 1.0) > 0
    assert 0.2 < hit.float().mean() < 0.98
    assert not picture.opacity[chord(rays, 1.05) == 0].any()


def dense_twin(field, region, resolution, rays, background, step=1.0):
    """The same samples, all of them, in a dense rectangle: one after the other from the start."""
    grid_rays = Lattice.over(region, resolution).grid_rays(rays)
    grid_rays = grid_rays._replace(end=torch.minimum(grid_rays.end, t_to_s(grid_rays, rays.far)))
    count = int(((grid_rays.end - grid_rays.start) / step).max()) + 1
    s = grid_rays.start[:, None] + (torch.arange(count) + 0.5) * step
    t = t_of(grid_rays, s)
    deltas = t_of(grid_rays, s + step / 2) - t_of(grid_rays, s - step / 2)
    deltas = deltas * rays.directions.norm(dim=1, keepdim=True) * (s < grid_rays.end[:, None])
    if region.unbounded:  # the rays reach their far end, where what is solid is opaque
        deltas[(s < grid_rays.end[:, None]) & (s + step >= grid_rays.end[:, None])] = 1e10
    raw, feature = field.density(rays.points(t))
    rgb = field.color(feature, rays.viewdirs[:, None])
    return composite(render_weight_from_density(field.activation(raw), deltas), rgb, t, background)


def fields() -> dict[str, Any]:
    torch.manual_seed(0)
    nerf = NeRF(D=3, W=32, N_emb_xyz=3, skip=1)
    tensorf = TensoRF(CUBE, 12, 12, 3, 4, 5, 16)
    with torch.no_grad():
        nerf.sigma.weight.mul_(60)
        for plane in tensorf.density_planes:
            plane.mul_(100)
    return {"ball": Ball(20.0, 0.7), "nerf": nerf, "tensorf": tensorf}


@pytest.mark.parametrize("name", ["ball", "nerf", "tensorf"])
@pytest.mark.parametrize("region", [CUBE, Region((0.0, 0.0, 0.0), (1.5,) * 3, unbounded=True)])
def test_rendering_is_that_of_all_samples(name, region):
    field = fields()[name]
    if name == "tensorf":
        field.region, field._cube = region, Lattice(region, (-1.0,) * 3, (1.0,) * 3, (2, 2, 2))
    rays = make_rays()
    lattice = Lattice.over(region, 40)
    everything = OccupiedCells(lattice, torch.ones(lattice.dims, dtype=torch.bool))
    config = OccupancyMarchConfig(step=0.8, training_step=0.8)
    renderer = OccupancyRenderer(field, everything, 0.7, config)
    with torch.no_grad():
        dense = dense_twin(field, region, 40, rays, 0.7, 0.8)
    assert dense.opacity.max() > 0.5
    ours = renderer(rays)
    torch.testing.assert_close(ours.rgb, dense.rgb, rtol=0, atol=3e-3)
    torch.testing.assert_close(ours.opacity, dense.opacity, rtol=0, atol=2e-3)
    torch.testing.assert_close(ours.depth, dense.depth, rtol=0, atol=1e-2)
    trained = renderer.render_train(rays, training_mode())["fine"]
    torch.testing.assert_close(trained.rgb, dense.rgb, rtol=0, atol=3e-3)


def test_gradients_are_those_of_all_samples():
    for name, field in fields().items():
        rays = make_rays(40)
        mask = torch.ones((24, 24, 24), dtype=torch.bool)
        renderer = OccupancyRenderer(field, OccupiedCells(Lattice.over(CUBE, 24), mask), 1.0)
        change = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
        grads = []
        for picture in (
            renderer.render_train(rays, training_mode())["fine"],
            dense_twin(field, CUBE, 24, rays, 1.0),
        ):
            loss = (picture.rgb * change).sum()
            some = torch.autograd.grad(loss, list(field.parameters()), allow_unused=True)
            grads.append([g for g in some if g is not None])
        assert len(grads[0]) == len(grads[1]) > 0, name
        for ours, theirs in zip(*grads, strict=True):
            assert (ours - theirs).norm() <= 0.01 * theirs.norm() + 1e-4, name


def test_only_occupied_cells_in_front_are_evaluated():
    field = Ball(1000.0, 0.5)
    occupancy = estimate_occupancy(field, CUBE, 64)
    rays = make_rays(500)
    field.densities = field.colours = 0
    OccupancyRenderer(field, occupancy)(rays)
    hit = int((chord(rays, 0.6) > 0).sum())
    assert 0 < field.densities < 16 * hit  # a chord is 21 cells long, the cube 64
    assert field.colours < 2 * hit
    field.densities = 0
    picture = OccupancyRenderer(field, occupancy).render_train(rays, training_mode(perturb=1.0))[
        "fine"
    ]
    # Once to find what can be seen, and what can once more.
    assert 0 < picture.n_samples <= field.densities < 2 * picture.n_samples


def test_an_empty_scene_shows_the_background_and_costs_nothing():
    field = Ball(0.0)
    occupancy = estimate_occupancy(field, CUBE, 32)
    assert len(occupancy) == 0
    field.densities = 0
    rays = make_rays(10)
    renderer = OccupancyRenderer(field, occupancy, 0.25)
    assert torch.equal(renderer(rays).rgb, torch.full((10, 3), 0.25))
    picture = renderer.render_train(rays, training_mode(0, 1.0, 1.0))["fine"]
    assert torch.equal(picture.rgb, torch.full((10, 3), 0.25))
    assert field.densities == picture.n_samples == 0


def test_the_far_end_is_opaque_as_in_the_two_passes():
    """In NDC what is at infinity, at t = 1, is solid if it has any density."""
    region = Region((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    field = Ball(0.5, 10.0)
    origins = torch.tensor([[0.1, 0.2, -1.0]])
    d = torch.tensor([[0.0, 0.0, 2.0]])
    rays = Rays(origins, d, d / 2, torch.zeros(1), torch.ones(1), torch.zeros(1).long())
    picture = OccupancyRenderer(field, estimate_occupancy(field, region, 32))(rays)
    torch.testing.assert_close(picture.opacity, torch.ones(1))
    # Not where a field has density all over its box: the ray would meet a wall at its end.
    config = OccupancyMarchConfig(opaque_far=False)
    picture = OccupancyRenderer(field, estimate_occupancy(field, region, 32), 0.0, config)(rays)
    torch.testing.assert_close(picture.opacity, 1 - torch.exp(-torch.ones(1)), rtol=0, atol=2e-3)
    # Where the box ends before the ray does, nothing is assumed to lie behind.
    longer = Rays(origins, d, d / 2, torch.zeros(1), 3 * torch.ones(1), torch.zeros(1).long())
    picture = OccupancyRenderer(field, estimate_occupancy(field, region, 32))(longer)
    torch.testing.assert_close(picture.opacity, 1 - torch.exp(-torch.ones(1)), rtol=0, atol=2e-3)


def test_training_is_random_by_its_generator():
    field = Ball(3.0)
    renderer = OccupancyRenderer(field, estimate_occupancy(field, CUBE, 32))
    rays = make_rays(20)

    def train(seed, perturb=1.0, noise=0.5):
        return renderer.render_train(rays, training_mode(seed, perturb, noise))["fine"].rgb

    assert torch.equal(train(0), train(0))
    assert not torch.equal(train(0), train(1))
    assert torch.equal(train(0, 0.0, 0.0), train(1, 0.0, 0.0))


def test_chunks_make_no_difference():
    field = Ball(3.0)
    renderer = OccupancyRenderer(field, estimate_occupancy(field, CUBE, 32), 1.0)
    rays = make_rays(50)
    whole, parts = renderer(rays), ImageRenderer(renderer, 7)(rays)
    torch.testing.assert_close(parts.rgb, whole.rgb)
    torch.testing.assert_close(parts.depth, whole.depth)
