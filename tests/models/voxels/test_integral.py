"""The fast integral of the sparse voxel field against its readable twin."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from geometry.rays import Rays
from models.voxels.growth import first_grid
from models.voxels.integral.autograd import MarchConfig, integrate_voxels
from models.voxels.integral.kernels import DENSITY_SHIFT, sums_along_rays
from models.voxels.integral.march import render_rays
from models.voxels.integral.reference import integrate_reference
from tests.helpers.voxels import BOX, REGIONS, rays_at, some_grid, some_tables


@pytest.mark.parametrize("noisy", [False, True])
@REGIONS
def test_the_fast_integral_is_that_of_its_twin(region, noisy, monkeypatch):
    grid, rays = some_grid(region), rays_at(region)
    density, features = (table.requires_grad_() for table in some_tables(grid))
    jitter = torch.rand(len(rays), generator=torch.Generator().manual_seed(3))
    uniform = jitter.expand(8, -1)
    if noisy:  # each part of the rays begins with the first number
        monkeypatch.setattr(
            "models.voxels.integral.autograd.split_for_device", lambda count, _: [slice(0, count)]
        )
    # Fewer numbers than samples: they begin again.
    noise = torch.randn(37, generator=torch.Generator().manual_seed(5)) if noisy else None
    config = MarchConfig(uniform, noise, exact=True, distortion=True)
    *fast, count = integrate_voxels(density, features, grid, rays, config)
    plain = integrate_reference(grid, density, features, rays, jitter, noise=noise)
    assert int(count) > 100
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)

    differentiable = (0, 1, 3)  # depth is not
    wanted = [plain[i] for i in differentiable]
    seen = [torch.randn(x.shape, generator=torch.Generator().manual_seed(4)) for x in wanted]
    ours = torch.autograd.grad([fast[i] for i in differentiable], (density, features), seen)
    theirs = torch.autograd.grad(wanted, (density, features), seen)
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(ours[1].to_dense(), theirs[1], rtol=1e-3, atol=1e-5)


def test_what_is_hidden_takes_no_steps_of_rounding():
    """Adam takes a full step however small a gradient is: its sign must be right."""
    grid, rays = some_grid(BOX, cells=24, share=1.0), rays_at(BOX, 60)
    _, features = some_tables(grid)
    jitter = torch.full((len(rays),), 0.5)
    config = MarchConfig(jitter.expand(8, -1), exact=True)
    grads = []
    for dtype in (torch.float32, torch.float64):
        density = torch.full((grid.size, 1), 3.0, dtype=dtype, requires_grad=True)
        if dtype == torch.float32:
            feature = integrate_voxels(density, features, grid, rays, config)[0]
        else:
            feature = integrate_reference(grid, density, features.to(dtype), rays, jitter)[0]
        grads.append(torch.autograd.grad(feature.sum(), density)[0].double())
    ours, exact = grads
    size = exact.abs() / exact.abs().max()
    small = (size > 1e-9) & (size < 1e-7)
    assert int(small.sum()) > 100
    error = (ours - exact).abs()[small] / exact.abs()[small]
    assert float(error.median()) < 1e-4


@REGIONS
def test_pictures_take_finer_steps_than_training(region):
    grid, rays = some_grid(region), rays_at(region)
    density, features = some_tables(grid)
    *fast, count = render_rays(density, features, grid, rays, MarchConfig(exact=True, step=0.5))
    *_, fewer = render_rays(density, features, grid, rays, MarchConfig(exact=True))
    assert count > 1.8 * fewer
    plain = integrate_reference(grid, density, features, rays, step=0.5)[:3]
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@REGIONS
def test_pictures_end_where_nothing_behind_can_be_seen(region):
    grid, rays = some_grid(region, cells=70, share=0.9), rays_at(region, 400)
    density, features = some_tables(grid)
    *fast, fewer = render_rays(
        density - 1.5, features, grid, rays, MarchConfig(weight_threshold=0.0)
    )
    *exact, _ = render_rays(density - 1.5, features, grid, rays, MarchConfig(exact=True))
    *_, count = render_rays(density - 50, features, grid, rays, MarchConfig())
    assert fewer < 0.7 * count
    scale = (2 * float(features.abs().max()), 1.0, float(exact[2].max()))  # of two lattices
    for a, b, largest in zip(fast, exact, scale, strict=True):
        assert float((a - b).abs().max()) < 1.1e-3 * largest


def test_the_twins_gradients_are_those_of_finite_differences():
    grid, rays = some_grid(BOX, cells=5), rays_at(BOX, count=5)
    density, features = (t.double().requires_grad_() for t in some_tables(grid, channels=2))
    rays = Rays(*(getattr(rays, name) for name in Rays.__dataclass_fields__))

    def render(density: Any, features: Any) -> Any:
        return integrate_reference(grid, density, features, rays)[:2]

    assert torch.autograd.gradcheck(render, (density, features), eps=1e-6, atol=1e-5)


def test_what_is_random_in_a_step_is_right_on_average():
    grid, rays = some_grid(BOX, cells=6), rays_at(BOX, count=12)
    density, features = (table.requires_grad_() for table in some_tables(grid, channels=3))
    jitter = torch.full((len(rays),), 0.3)
    plain = integrate_reference(grid, density, features, rays, jitter)
    wanted = torch.autograd.grad(plain[0].sum(), (density, features))
    rounds, total = 3000, [torch.zeros_like(density), torch.zeros_like(features)]
    feature = torch.zeros_like(plain[0])
    for seed in range(rounds):
        uniform = torch.rand(8, len(rays), generator=torch.Generator().manual_seed(seed))
        uniform[0] = 0.3
        out = integrate_voxels(density, features, grid, rays, MarchConfig(uniform))
        feature += out[0].detach() / rounds
        for sum_, grad in zip(
            total, torch.autograd.grad(out[0].sum(), (density, features)), strict=True
        ):
            sum_ += (grad.to_dense() if grad.is_sparse else grad) / rounds
    torch.testing.assert_close(feature, plain[0], rtol=0.05, atol=0.02)
    for ours, theirs in zip(total, wanted, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 0.06


def test_a_constant_medium_dims_light_as_beer_and_lambert_have_it():
    grid = first_grid(BOX, 64)
    raw = 3.0
    density = torch.full((grid.size, 1), raw / 2)  # two lattices are summed
    features = torch.ones(grid.size, 1) / 2
    count = 16
    y = torch.linspace(-0.8, 0.8, count)
    origins = torch.stack([torch.full((count,), -3.0), y - 0.2, torch.full((count,), 0.3)], dim=1)
    directions = torch.tensor([[1.0, 0.0, 0.0]]).expand(count, 3)
    ones = torch.ones(count)
    rays = Rays(origins, directions, directions, 0 * ones, 9 * ones, torch.zeros(count).long())
    feature, opacity, depth, _ = render_rays(density, features, grid, rays, MarchConfig())
    thickness = 64 * math.log1p(math.exp(raw + DENSITY_SHIFT))
    torch.testing.assert_close(opacity, torch.full((count,), 1 - math.exp(-thickness)))
    torch.testing.assert_close(feature[:, 0], opacity, rtol=0.02, atol=0.0)
    # Mean distance of an exponential law cut off at the far side of the box.
    rate, length = thickness / 2, 2.0
    mean = 1 / rate - length * math.exp(-rate * length) / (1 - math.exp(-rate * length))
    start = -0.9 + 3.0
    torch.testing.assert_close(
        depth / feature[:, 0], torch.full((count,), start + mean), rtol=0.01, atol=0.0
    )


@pytest.mark.parametrize("rectangle", [False, True], ids=["running", "rectangle"])
def test_sums_of_packed_samples_are_those_of_each_ray(rectangle):
    values = torch.rand(9, generator=torch.Generator().manual_seed(0))
    ray = torch.tensor([0, 0, 0, 2, 2, 3, 3, 3, 3])
    starts = torch.tensor([0, 3, 3, 5, 9])
    so_far, total = (sums.float() for sums in sums_along_rays(values, ray, starts, rectangle))
    for i in range(4):
        own = values[starts[i] : starts[i + 1]]
        torch.testing.assert_close(so_far[starts[i] : starts[i + 1]], own.cumsum(0))
        torch.testing.assert_close(total[i], own.sum())
    nothing, totals = sums_along_rays(values[:0], ray[:0], torch.zeros(4).long(), rectangle)
    assert len(nothing) == 0
    assert totals.tolist() == [0, 0, 0]
