"""The voxel integral's gradients with respect to rays: fast against readable, readable against
finite differences, and a surface whose gradient is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from models.voxels.growth import first_grid
from models.voxels.integral.autograd import MarchConfig, integrate_voxels
from models.voxels.integral.reference import integrate_reference
from tests.helpers.voxels import BOX, REGIONS, rays_at, some_grid, some_tables


def moving(rays):
    return replace(
        rays,
        origins=rays.origins.clone().requires_grad_(),
        directions=rays.directions.clone().requires_grad_(),
    )


@REGIONS
def test_rays_take_the_gradients_of_the_twin(region):
    grid, rays = some_grid(region), moving(rays_at(region))
    density, features = some_tables(grid)
    density -= 4  # light reaches the far side
    jitter = torch.rand(len(rays), generator=torch.Generator().manual_seed(3))
    config = MarchConfig(jitter.expand(8, -1), exact=True, distortion=True)
    *fast, _ = integrate_voxels(density, features, grid, rays, config)
    plain = integrate_reference(grid, density, features, rays, jitter)
    differentiable = (0, 1, 3)
    seen = [torch.randn(plain[i].shape, generator=torch.Generator().manual_seed(4)) for i in (0, 1)]
    seen.append(20 * torch.ones(len(rays)))
    ours, theirs = (
        torch.autograd.grad([out[i] for i in differentiable], (rays.origins, rays.directions), seen)
        for out in (fast, plain)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert float(b.abs().mean()) > 0.1
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


@REGIONS
def test_the_twin_passes_gradcheck(region):
    grid, rays = some_grid(region), rays_at(region, 12)
    density, features = (table.double() for table in some_tables(grid))
    samples = grid.sample(grid.lattice.grid_rays(rays))
    assert len(samples) > 20

    def integral(origins, directions):
        moved = replace(
            rays, origins=origins, directions=directions, near=rays.near.double(),
            far=rays.far.double(),
        )  # fmt: skip
        return integrate_reference(grid, density - 4, features, moved, samples=samples)[:2]

    inputs = (rays.origins.double().requires_grad_(), rays.directions.double().requires_grad_())
    assert torch.autograd.gradcheck(integral, inputs)


def test_a_wall_of_colour_moves_as_the_camera_does():
    """Before a wall whose feature is its place, d feature / d origin is the identity in the wall's
    plane, and that of a turn is the distance."""
    grid = first_grid(BOX, 16)
    places = grid.lattice.points(grid.corner_coordinates())
    density, features = torch.zeros(grid.size, 1), torch.zeros(grid.size, 3)
    count = len(places)
    density[:count] = -30.0
    density[:count][places[:, 2] < BOX.center[2]] = 30.0
    features[:count] = places
    rays = rays_at(BOX, 30)
    target = torch.tensor(BOX.center) + torch.rand(30, 3) * torch.tensor([0.8, 0.8, 0.0]) - 0.4
    origins = target + torch.tensor([0.0, 0.0, 2.5])
    down = torch.tensor([[0.0, 0.0, -1.0]]).expand(30, 3)
    rays = moving(replace(rays, origins=origins, directions=down, viewdirs=down))
    config = MarchConfig(torch.full((8, 30), 0.5), exact=True)
    feature, _, depth, *_ = integrate_voxels(density, features, grid, rays, config)
    by_origin, by_direction = torch.autograd.grad(
        feature[:, :2].sum(), (rays.origins, rays.directions)
    )
    torch.testing.assert_close(by_origin[:, :2], torch.ones(30, 2), rtol=1e-3, atol=1e-3)
    distance = depth[:, None].expand(30, 2)
    torch.testing.assert_close(by_direction[:, :2], distance, rtol=1e-3, atol=1e-3)


def test_rays_that_stand_still_cost_nothing():
    grid, rays = some_grid(BOX), rays_at(BOX)
    density, features = (table.requires_grad_() for table in some_tables(grid))
    config = MarchConfig(torch.full((8, len(rays)), 0.5))
    feature, *_ = integrate_voxels(density, features, grid, rays, config)
    node: Any = feature.grad_fn
    assert node.saved_tensors == ()
