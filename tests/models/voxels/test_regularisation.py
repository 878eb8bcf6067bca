"""What acts on a voxel field's tables: total variation, decay, distortion, noise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from geometry.region import Region
from models.voxels.field import VoxelField
from models.voxels.growth import first_grid
from models.voxels.integral.autograd import MarchConfig, integrate_voxels
from models.voxels.integral.kernels import distortion
from models.voxels.regularisation import Decay, TotalVariation
from models.voxels.renderer import VoxelRenderer
from tests.helpers.models import training_mode
from tests.helpers.voxels import AROUND, BOX, FORWARD, rays_at, some_tables


def test_smoothing_keeps_a_linear_table_inside():
    grid = first_grid(BOX, 8)
    place = grid.corner_coordinates()
    table = torch.zeros(grid.size, 1)
    table[: len(place), 0] = place @ torch.tensor([0.3, -0.2, 0.5])
    middle = (place > 1.5).all(dim=1) & (place < 8.5).all(dim=1)
    for part in range(8):
        smoothed = table.clone()
        TotalVariation(0.1, 10.0, 8).step(grid, smoothed, part)
        torch.testing.assert_close(smoothed[: len(place)][middle], table[: len(place)][middle])


def test_smoothing_is_a_step_down_the_huber_total_variation():
    grid = first_grid(BOX, 5)
    corners = len(grid.levels[0].corners)
    table = torch.randn(grid.size, 3, generator=torch.Generator().manual_seed(0))
    edge, rate = 0.3, 0.01
    place = grid.corner_coordinates()
    near = (place[:, None] - place[None]).abs().sum(dim=2) == 1
    values = table[:corners].double().requires_grad_()
    difference = (values[:, None] - values[None])[near]
    huber = torch.nn.functional.huber_loss(
        difference, torch.zeros_like(difference), reduction="sum", delta=edge
    )
    # Each pair is counted from both of its ends.
    (gradient,) = torch.autograd.grad(0.5 * huber, values)
    wanted = table.clone()
    wanted[:corners] -= (rate * gradient).float()
    small = table.clone()
    for part in range(8):  # of the same values: one part must not see what another has done
        piece = table.clone()
        TotalVariation(rate, edge, 8).step(grid, piece, part)
        changed = (piece != table).any(dim=1)
        small[changed] = piece[changed]
    torch.testing.assert_close(small, wanted, rtol=1e-4, atol=1e-6)


def test_the_gradient_of_density_fades_with_the_square_of_a_small_distance():
    grid, rays = first_grid(AROUND, 16), rays_at(AROUND)
    density, features = (table.requires_grad_() for table in some_tables(grid, 3))
    uniform = torch.rand(8, len(rays), generator=torch.Generator().manual_seed(1))

    def gradient(scaling: float) -> torch.Tensor:
        out = integrate_voxels(
            density,
            features,
            grid,
            rays,
            MarchConfig(uniform, exact=True, near_gradient_scaling=scaling),
        )
        return torch.autograd.grad(out[0].sum() + out[1].sum(), density)[0]

    # Everything lies farther than 0.1 halves and nearer than 1000.
    torch.testing.assert_close(gradient(0.1), gradient(0.0))
    far = gradient(100.0)
    torch.testing.assert_close(4 * gradient(200.0), far, rtol=1e-3, atol=1e-6)
    assert 0 < float(far.norm()) < 0.1 * float(gradient(0.0).norm())


def test_noise_spoils_what_fog_shows_and_not_what_is_solid_or_empty():
    field, rays = VoxelField(AROUND, 32), rays_at(AROUND, 200)

    def spread(density: float) -> float:
        """Standard deviation of the rays' colours over training steps of one field."""
        with torch.no_grad():
            field.density_table.fill_(density)
            field.feature_table.normal_(generator=torch.Generator().manual_seed(0))
        shown = []
        for seed in range(20):
            # The samples stay where they are.
            mode = training_mode(seed, noise_std=1.0)
            step = VoxelRenderer(field).render_train(rays, mode)["voxels"]
            shown.append(step.rgb.detach())
        return float(torch.stack(shown).std(dim=0).mean())

    solid, fog, empty = (spread(density / 2) for density in (20.0, 4.0, -8.0))
    assert solid < 0.1 * fog
    assert empty < 0.1 * fog


def test_noise_is_asked_for_and_of_training_alone():
    field, rays = VoxelField(AROUND, 32), rays_at(AROUND, 50)
    render = VoxelRenderer(field)

    def step(noise_std: float, seed: int) -> torch.Tensor:
        mode = training_mode(seed, noise_std=noise_std)
        return render.render_train(rays, mode)["voxels"].opacity

    assert torch.equal(step(0.0, 0), step(0.0, 1))
    assert not torch.equal(step(1.0, 0), step(1.0, 1))
    assert torch.equal(step(1.0, 0), step(1.0, 0))
    assert torch.equal(render(rays).rgb, render(rays).rgb)


def test_what_decays_goes_a_share_of_the_way_each_time_a_part_at_a_step():
    table = torch.randn(37, 3, generator=torch.Generator().manual_seed(0))
    was, decay, share = table.clone(), Decay(0.2, -8.0, 5), 0.5
    decay.step(table, 1, share)
    touched = (table != was).all(dim=1)
    assert 0 < int(touched.sum()) < len(table) / 4
    for step in range(2, 2 * 5 + 1):
        decay.step(table, step, share)
    torch.testing.assert_close(table, -8 + (was + 8) * (1 - share * 0.2) ** 2)


@pytest.mark.parametrize("region", [AROUND, FORWARD, BOX])
def test_what_no_photo_asks_for_in_a_place_is_forgotten(region: Region):
    field = VoxelField(region, 32)
    with torch.no_grad():
        field.density_table.fill_(3.0)
        field.feature_table.fill_(0.5)
    for step in range(500):
        field.after_step(step, 0.5)
    density, feature = field.density_table.detach(), field.feature_table.detach()
    # An object before a blank background keeps what it has; a forward-facing scene, where all
    # cameras look at everything, its densities.
    assert float(density.max()) < 2.6 if region is AROUND else torch.all(density == 3)
    assert torch.all(feature == 0.5) if region is BOX else float(feature.max()) < 0.3


def test_distortion_is_that_of_two_surfaces():
    weight = torch.tensor([0.3, 0.0, 0.5, 0.2])
    s = torch.tensor([1.0, 1.5, 4.0, 7.0])
    ray, starts = torch.tensor([0, 0, 0, 2]), torch.tensor([0, 3, 3, 4])
    value, gradient = distortion(weight, s, 0.0, ray, starts)
    torch.testing.assert_close(value, torch.tensor([2 * 0.3 * 0.5 * 3, 0.0, 0.0]))
    torch.testing.assert_close(gradient, 2 * torch.tensor([0.5 * 3, 0.3 * 0.5 + 0.5 * 2.5, 0.9, 0]))
    # A single sample is as wide as it stands for.
    torch.testing.assert_close(
        distortion(weight, s, 3.0, ray, starts)[0][2], torch.tensor(0.2**2 * 3 / 3)
    )


def test_the_distortion_loss_draws_fog_together():
    rays = rays_at(BOX, 200)

    def spread(weight: float) -> float:
        """How far apart what rays meet lies, once fog has been trained to be opaque."""
        field = VoxelField(BOX, 64)
        with torch.no_grad():
            field.density_table.fill_(1.0)
        optimizer = torch.optim.Adam([field.density_table], lr=0.1)
        for weight_ in [weight] * 60 + [1.0]:
            field.recipe = replace(field.recipe, distortion=weight_)
            output = VoxelRenderer(field).render_train(rays, training_mode())["voxels"]
            assert ("distortion" in output.extras) == (weight_ > 0)
            penalty = weight_ * output.extras.get("distortion", torch.zeros(1)).mean()
            optimizer.zero_grad()
            (penalty + (1 - output.opacity).square().mean()).backward()
            optimizer.step()
        # The last one's, by the opacity: less fog alone has less of it, too.
        return float(penalty.detach() / output.opacity.detach().square().mean())

    assert spread(1.0) < 0.8 * spread(0.0)


@pytest.mark.parametrize(("faster", "steps"), [(1, 8), (4, 2), (16, 1)])
def test_larger_steps_go_through_a_table_in_fewer(faster: int, steps: int):
    table = torch.ones(100, 2)
    for number in range(steps):
        Decay(0.25, 0.2, 8).step(table, number, faster=faster)
    torch.testing.assert_close(table, torch.full((100, 2), 0.8))
