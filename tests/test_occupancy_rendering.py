"""Packed compositing, and rendering through occupancy: against closed forms and dense twins."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from models.rendering.samples import (
    RaySamples,
    accumulate_along_rays,
    composite_packed,
    render_weight_from_density,
    starts_of,
)

from geometry.rays import Rays
from geometry.region import Region
from models.grids.cells import OccupiedCells, dilate
from models.grids.lattice import Lattice
from models.grids.occupancy import OccupancyGrid, estimate_occupancy
from models.grids.traversal import t_to_s
from models.nerf.network import NeRF
from models.rendering.compositing import composite, composite_weights
from models.rendering.image import ImageRenderer
from models.rendering.occupancy import OccupancyRenderer
from models.tensorf.field import TensoRF
from tests.test_space import t_of

CUBE = Region((0.0, 0.0, 0.0), (1.5, 1.5, 1.5))


class Ball(torch.nn.Module):
    """A ball of constant density whose colour is its place; counts what it is asked for."""

    def __init__(self, sigma: float, radius: float = 1.0, center=(0.0, 0.0, 0.0)) -> None:
        super().__init__()
        self.sigma = torch.nn.Parameter(torch.tensor(sigma))
        self.radius, self.center = radius, torch.tensor(center)
        self.densities = self.colours = 0

    def density(self, x):
        self.densities += x.shape[:-1].numel()
        inside = (x - self.center).norm(dim=-1) < self.radius
        return self.sigma * inside, x

    def activation(self, raw):
        return F.relu(raw)

    def color(self, feature, viewdirs):
        self.colours += feature.shape[:-1].numel()
        return (feature * 0.3 + 0.5).clamp(0, 1)


def make_rays(count: int = 200, seed: int = 0, far: float = 7.0) -> Rays:
    generator = torch.Generator().manual_seed(seed)
    origins = 4 * F.normalize(torch.randn(count, 3, generator=generator), dim=1)
    aim = 1.2 * (2 * torch.rand(count, 3, generator=generator) - 1)
    d = F.normalize(aim - origins, dim=1)
    ones = torch.ones(count)
    return Rays(origins, d, d, 1.0 * ones, far * ones, torch.zeros(count).long())


def chord(rays: Rays, radius: float) -> torch.Tensor:
    b = (rays.origins * rays.directions).sum(dim=1)
    disc = b**2 - rays.origins.square().sum(dim=1) + radius**2
    return 2 * disc.clamp_min(0).sqrt()


def lengths(*counts: int) -> tuple[torch.Tensor, RaySamples]:
    """Packed samples with random steps, so many on each ray; and their densities."""
    generator = torch.Generator().manual_seed(sum(counts))
    ray = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts, dtype=torch.long))
    deltas = torch.rand(len(ray), generator=generator, dtype=torch.double) + 0.01
    sigma = 3 * torch.rand(len(ray), generator=generator, dtype=torch.double)
    return sigma, RaySamples(ray, deltas.cumsum(0), deltas, starts_of(ray, len(counts)))


@pytest.mark.parametrize("counts", [(3, 0, 7, 1), (0, 0), (), (5,), (0, 2, 0)])
def test_packed_compositing_is_the_dense_one(counts):
    sigma, samples = lengths(*counts)
    generator = torch.Generator().manual_seed(0)
    rgb = torch.rand(len(sigma), 3, generator=generator, dtype=torch.double)
    sigma.requires_grad_()
    rgb.requires_grad_()
    packed = composite_packed(render_weight_from_density(sigma, samples), rgb, samples, 0.4)
    assert packed.rgb.shape == (len(counts), 3)

    start = 0
    for ray, count in enumerate(counts):
        part = slice(start, start + count)
        start += count
        one = [v[part][None] for v in (sigma, samples.deltas, rgb, samples.t)]
        if count == 0:
            assert packed.opacity[ray] == 0
            torch.testing.assert_close(packed.rgb[ray], torch.full_like(packed.rgb[ray], 0.4))
            continue
        dense = composite(composite_weights(one[0], one[1]), one[2], one[3], 0.4)
        for name in ("rgb", "depth", "opacity"):
            torch.testing.assert_close(getattr(packed, name)[ray], getattr(dense, name)[0])
        change = torch.randn(3, dtype=torch.double)
        ours, theirs = (
            torch.autograd.grad(
                (picture.rgb[i] * change).sum() + picture.depth[i] + picture.opacity[i] ** 2,
                (sigma, rgb),
                retain_graph=True,
            )
            for picture, i in ((packed, ray), (dense, 0))
        )
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)


def test_packed_gradients():
    sigma, samples = lengths(3, 0, 4, 1)
    rgb = torch.rand(len(sigma), 3, dtype=torch.double)

    def function(sigma, rgb):
        picture = composite_packed(render_weight_from_density(sigma, samples), rgb, samples, 1.0)
        return picture.rgb, picture.depth, picture.opacity

    sigma[2] = 0.5
    inputs = (sigma.requires_grad_(), rgb.requires_grad_())
    assert torch.autograd.gradcheck(function, inputs)


def test_a_long_batch_loses_no_precision():
    """Rays late in a batch are as exact in single precision as the first."""
    ray = torch.arange(20000).repeat_interleave(8)
    deltas = torch.full((len(ray),), 0.1)
    samples = RaySamples(ray, deltas, deltas, starts_of(ray, 20000))
    weights = render_weight_from_density(torch.full_like(deltas, 2.0), samples).view(-1, 8)
    assert torch.equal(weights[0].expand_as(weights), weights)


def test_sums_and_choices_of_samples():
    _, samples = lengths(2, 0, 3)
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    assert accumulate_along_rays(values, samples.ray, 3).tolist() == [3, 0, 12]
    some = samples.only(torch.tensor([False, True, False, True, True]))
    assert some.ray.tolist() == [0, 2, 2]
    assert some.starts.tolist() == [0, 1, 1, 3]
    assert some.place.tolist() == [0, 0, 1]


@pytest.mark.parametrize("sigma", [0.3, 2.0])
@pytest.mark.parametrize("step", [1.0, 0.5])
def test_a_ball_lets_through_what_the_closed_form_says(sigma, step):
    field = Ball(sigma)
    rays = make_rays()
    occupancy = estimate_occupancy(field, CUBE, 64)
    picture = OccupancyRenderer(field, occupancy, 0.0, step)(rays)
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
    walk = Lattice.over(region, resolution).walk(rays)
    walk = walk._replace(end=torch.minimum(walk.end, t_to_s(walk, rays.far)))
    count = int(((walk.end - walk.start) / step).max()) + 1
    s = walk.start[:, None] + (torch.arange(count) + 0.5) * step
    t = t_of(walk, s)
    deltas = t_of(walk, s + step / 2) - t_of(walk, s - step / 2)
    deltas = deltas * rays.directions.norm(dim=1, keepdim=True) * (s < walk.end[:, None])
    if region.unbounded:  # the rays reach their far end, where what is solid is opaque
        deltas[(s < walk.end[:, None]) & (s + step >= walk.end[:, None])] = 1e10
    raw, feature = field.density(rays.points(t))
    rgb = field.color(feature, rays.viewdirs[:, None])
    return composite(composite_weights(field.activation(raw), deltas), rgb, t, background)


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
    renderer = OccupancyRenderer(field, everything, 0.7, 0.8, 0.8)
    with torch.no_grad():
        dense = dense_twin(field, region, 40, rays, 0.7, 0.8)
    assert dense.opacity.max() > 0.5
    ours = renderer(rays)
    torch.testing.assert_close(ours.rgb, dense.rgb, rtol=0, atol=3e-3)
    torch.testing.assert_close(ours.opacity, dense.opacity, rtol=0, atol=2e-3)
    torch.testing.assert_close(ours.depth, dense.depth, rtol=0, atol=1e-2)
    trained = renderer.train(rays, 0.0, 0.0, torch.Generator().manual_seed(0))["fine"]
    torch.testing.assert_close(trained.rgb, dense.rgb, rtol=0, atol=3e-3)


def test_gradients_are_those_of_all_samples():
    for name, field in fields().items():
        rays = make_rays(40)
        mask = torch.ones((24, 24, 24), dtype=torch.bool)
        renderer = OccupancyRenderer(field, OccupiedCells(Lattice.over(CUBE, 24), mask), 1.0)
        change = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
        grads = []
        for picture in (
            renderer.train(rays, 0.0, 0.0, torch.Generator())["fine"],
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
    picture = OccupancyRenderer(field, occupancy).train(rays, 1.0, 0.0, torch.Generator())["fine"]
    # Once to find what can be seen, and what can once more.
    assert 0 < picture.samples <= field.densities < 2 * picture.samples


def test_an_empty_scene_shows_the_background_and_costs_nothing():
    field = Ball(0.0)
    occupancy = estimate_occupancy(field, CUBE, 32)
    assert len(occupancy) == 0
    field.densities = 0
    rays = make_rays(10)
    renderer = OccupancyRenderer(field, occupancy, 0.25)
    assert torch.equal(renderer(rays).rgb, torch.full((10, 3), 0.25))
    picture = renderer.train(rays, 1.0, 1.0, torch.Generator())["fine"]
    assert torch.equal(picture.rgb, torch.full((10, 3), 0.25))
    assert field.densities == picture.samples == 0


def test_occupancy_is_where_the_field_is():
    field = Ball(50.0, 0.8)
    occupancy = estimate_occupancy(field, CUBE, 64)
    cells = torch.stack(torch.meshgrid(*(torch.arange(64),) * 3, indexing="ij"), dim=-1)
    distance = occupancy.lattice.points(cells + 0.5).norm(dim=-1)
    edge = 3 / 64
    assert occupancy.mask[distance < 0.8].all()
    assert not occupancy.mask[distance > 0.8 + 4 * edge].any()


def test_small_things_are_found():
    field = Ball(200.0, 0.05, (0.61, -0.3, 0.2))  # 4 cells across, of 128
    occupancy = estimate_occupancy(field, CUBE, 128)
    place = occupancy.lattice.coordinates(
        field.center + 0.05 * torch.tensor([[1.0, 0, 0], [0, -1, 0]])
    )
    assert occupancy.mask[tuple(place.long().T)].all()
    assert len(occupancy) < 1500


def test_the_far_end_is_opaque_as_in_the_two_passes():
    """In NDC what is at infinity, at t = 1, is solid if it has any density."""
    region = Region((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    field = Ball(0.5, 10.0)
    origins = torch.tensor([[0.1, 0.2, -1.0]])
    d = torch.tensor([[0.0, 0.0, 2.0]])
    rays = Rays(origins, d, d / 2, torch.zeros(1), torch.ones(1), torch.zeros(1).long())
    picture = OccupancyRenderer(field, estimate_occupancy(field, region, 32))(rays)
    torch.testing.assert_close(picture.opacity, torch.ones(1))
    # Where the box ends before the ray does, nothing is assumed to lie behind.
    longer = Rays(origins, d, d / 2, torch.zeros(1), 3 * torch.ones(1), torch.zeros(1).long())
    picture = OccupancyRenderer(field, estimate_occupancy(field, region, 32))(longer)
    torch.testing.assert_close(picture.opacity, 1 - torch.exp(-torch.ones(1)), rtol=0, atol=2e-3)


def test_training_is_random_by_its_generator():
    field = Ball(3.0)
    renderer = OccupancyRenderer(field, estimate_occupancy(field, CUBE, 32))
    rays = make_rays(20)

    def train(seed, perturb=1.0, noise=0.5):
        generator = torch.Generator().manual_seed(seed)
        return renderer.train(rays, perturb, noise, generator)["fine"].rgb

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


def test_moving_occupancy_follows_a_field():
    moving = OccupancyGrid(CUBE, 32, every=1)
    field = Ball(50.0, 0.6)
    assert len(moving.occupancy) == 32**3
    for step in range(15):
        moving.update(field, step)
        assert len(moving.occupancy) == 32**3  # not all cells were looked at yet
    moving.update(field, 15)
    first = len(moving.occupancy)
    volume = 4 / 3 * 3.1416 * 0.6**3 / (3 / 32) ** 3
    assert volume < first < 3 * volume
    field.center = torch.tensor([0.7, 0.0, 0.0])
    for step in range(16, 32):
        moving.update(field, step)
    place = moving.lattice.coordinates(torch.tensor([[-0.5, 0.0, 0.0], [1.2, 0.0, 0.0]])).long()
    assert moving.mask[tuple(place.T)].tolist() == [True, True]  # seen lately, and seen now
    for step in range(32, 400):
        moving.update(field, step)
    assert moving.mask[tuple(place.T)].tolist() == [False, True]


def test_moving_occupancy_is_never_empty_while_the_field_has_any_density():
    moving = OccupancyGrid(CUBE, 16, every=2)
    for step in range(40):
        moving.update(Ball(1e-4), step)
    assert len(moving.occupancy) > 500


def test_moving_occupancy_loads():
    moving = OccupancyGrid(CUBE, 16, every=1)
    for step in range(20):
        moving.update(Ball(50.0, 0.6), step)
    again = OccupancyGrid(CUBE, 16, every=1)
    assert len(again.occupancy) == 16**3
    again.load_state_dict(moving.state_dict())
    assert torch.equal(again.occupancy.cells, moving.occupancy.cells)
    for one in (moving, again):
        one.update(Ball(50.0, 0.3), 20)
    assert torch.equal(again.opacity, moving.opacity)


def test_dilate_adds_all_neighbours():
    mask = torch.zeros((5, 4, 6), dtype=torch.bool)
    mask[0, 2, 3] = True
    expected = torch.zeros_like(mask)
    expected[0:2, 1:4, 2:5] = True
    assert torch.equal(dilate(mask), expected)
