"""The sparse voxel field: its fast integral against the readable twin, its growth, its state."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from geometry.rays import Rays
from geometry.region import Region
from models.grids.cells import dilate
from models.grids.lattice import Lattice
from models.voxels import growth
from models.voxels.field import VoxelField
from models.voxels.grid import VoxelGrid
from models.voxels.growth import bordered, divided, edges, first_grid
from models.voxels.integral.autograd import RenderVoxels, Sampling, look
from models.voxels.integral.kernels import SHIFT, sums_along_rays
from models.voxels.integral.march import show
from models.voxels.integral.reference import integrate_reference, interpolate

BOX = Region((0.1, -0.2, 0.3), (1.0, 1.0, 1.0))
AROUND = Region((0.0, 0.0, 0.0), (0.5, 0.5, 0.5), unbounded=True)
FORWARD = Region((0.0, 0.0, 0.0), (1.3, 1.1, 1.0), z_anisotropy=3.0)
REGIONS = pytest.mark.parametrize("region", [BOX, AROUND, FORWARD], ids=["box", "around", "ndc"])


def rays_at(region: Region, count: int = 40, seed: int = 0) -> Rays:
    """Rays from a shell around the region to places in it."""
    generator = torch.Generator().manual_seed(seed)
    center, half = torch.tensor(region.center), torch.tensor(region.half)
    origins = F.normalize(torch.randn(count, 3, generator=generator), dim=1) * 3 + center
    target = center + half * (2 * torch.rand(count, 3, generator=generator) - 1)
    directions = F.normalize(target - origins, dim=1)
    ones = torch.ones(count)
    image = torch.zeros(count, dtype=torch.long)
    return Rays(origins, directions, directions, 0.2 * ones, 8 * ones, image)


def some_grid(region: Region, cells: float = 12.0, share: float = 0.4) -> VoxelGrid:
    grid = first_grid(region, cells)
    keep = torch.rand(grid.mask.shape, generator=torch.Generator().manual_seed(1)) < share
    return VoxelGrid(grid.lattice, grid.mask & keep)


def some_tables(grid: VoxelGrid, channels: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    density = 5 + 2 * torch.randn(grid.size, 1, generator=generator)
    return density, torch.randn(grid.size, channels, generator=generator)


@pytest.mark.parametrize("noisy", [False, True])
@REGIONS
def test_the_fast_integral_is_that_of_its_twin(region, noisy, monkeypatch):
    grid, rays = some_grid(region), rays_at(region)
    density, features = (table.requires_grad_() for table in some_tables(grid))
    jitter = torch.rand(len(rays), generator=torch.Generator().manual_seed(3))
    uniform = jitter.expand(8, -1)
    if noisy:  # each part of the rays begins with the first number
        monkeypatch.setattr(
            "models.voxels.integral.autograd.shares", lambda count, _: [slice(0, count)]
        )
    # Fewer numbers than samples: they begin again.
    noise = torch.randn(37, generator=torch.Generator().manual_seed(5)) if noisy else None
    how = Sampling(uniform, noise, exact=True, distortion=True)
    *fast, count = RenderVoxels.apply(density, features, grid, rays, how)
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
    how = Sampling(jitter.expand(8, -1), exact=True)
    grads = []
    for dtype in (torch.float32, torch.float64):
        density = torch.full((grid.size, 1), 3.0, dtype=dtype, requires_grad=True)
        if dtype == torch.float32:
            out = RenderVoxels.apply(density, features, grid, rays, how)
        else:
            out = integrate_reference(grid, density, features.to(dtype), rays, jitter)
        grads.append(torch.autograd.grad(out[0].sum(), density)[0].double())
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
    *fast, count = show(density, features, grid, rays, Sampling(exact=True, step=0.5))
    *_, fewer = show(density, features, grid, rays, Sampling(exact=True))
    assert count > 1.8 * fewer
    plain = integrate_reference(grid, density, features, rays, step=0.5)[:3]
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@REGIONS
def test_pictures_end_where_nothing_behind_can_be_seen(region):
    grid, rays = some_grid(region, cells=70, share=0.9), rays_at(region, 400)
    density, features = some_tables(grid)
    *fast, fewer = show(density - 1.5, features, grid, rays, Sampling(faintest=0.0))
    *exact, _ = show(density - 1.5, features, grid, rays, Sampling(exact=True))
    *_, count = show(density - 50, features, grid, rays, Sampling())
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
        out = RenderVoxels.apply(density, features, grid, rays, Sampling(uniform))
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
    feature, opacity, depth, _ = show(density, features, grid, rays, Sampling())
    thickness = 64 * math.log1p(math.exp(raw + SHIFT))
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


@REGIONS
def test_another_grid_takes_over_what_a_table_holds(region):
    grid = some_grid(region, cells=8, share=1.0)
    density, features = some_tables(grid)
    finer = divided(grid, grid.mask, edges(region, 16))
    tables = grid.resample([density, features], [-4.0, 0.0], finer)
    # At its own corners, the finer grid shows what the coarse one interpolates there.
    field = VoxelField(region, 64, channels=5)
    for holder, values in ((grid, (density, features)), (finer, tables)):
        field._adopt(holder)
        field.density_table, field.feature_table = (torch.nn.Parameter(v) for v in values)
        place = finer.corner_coordinates() * torch.tensor(finer.lattice.edge)
        cube = place + torch.tensor(finer.lattice.low)
        if region.unbounded:
            cube = cube[cube.abs().amax(dim=1) < 0.45] * 2
        else:
            cube = cube[cube.abs().amax(dim=1) < 0.9]
        x = torch.tensor(region.center) + torch.tensor(region.half) * cube
        if holder is grid:
            before = field.density(x)
    after = field.density(x)
    assert len(x) > 5
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-3)


def test_cells_are_cropped_to_those_kept_and_lie_where_they_lay():
    grid = first_grid(BOX, 8)
    kept = torch.zeros_like(grid.mask)
    kept[3:5, 4, 2:4] = True
    finer = divided(grid, kept, edges(BOX, 16))
    assert len(finer) == 8 * int(kept.sum())

    def extent(grid: VoxelGrid, mask: torch.Tensor) -> torch.Tensor:
        low, edge = torch.tensor(grid.lattice.low), torch.tensor(grid.lattice.edge)
        index = mask.nonzero()
        return torch.cat([low + index.amin(0) * edge, low + (index.amax(0) + 1) * edge])

    torch.testing.assert_close(extent(finer, finer.mask), extent(grid, kept))


def test_a_field_grows_where_rays_see_something_and_nowhere_else():
    field = VoxelField(BOX, 64)
    center = field.grid.corner_coordinates() * torch.tensor(field.grid.lattice.edge)
    position = center + torch.tensor(field.grid.lattice.low)
    with torch.no_grad():  # a ball of a third of the box
        field.density_table[: len(position), 0] = torch.where(
            position.norm(dim=1) < 0.6, 12.0, -4.0
        )

    def draw(count: int) -> Rays:
        return rays_at(BOX, count, seed=int(torch.randint(1 << 20, ())))

    assert field.grow(0.0, 0, draw) == []  # too early
    cells = len(field.grid)
    replaced = field.grow(0.5, 400, draw)
    assert [new for _, new, _ in replaced] == [field.density_table, field.feature_table]
    assert len(field.grid) < 8 * 0.6 * cells
    rays = rays_at(BOX, 300, seed=7)
    opacity = field.render(rays, 1.0).opacity
    offset = rays.origins - torch.tensor(BOX.center)
    along = (offset * rays.directions).sum(dim=1)
    miss = (offset.square().sum(dim=1) - along.square()).sqrt()
    assert float(opacity[miss < 0.45].min()) > 0.95
    assert float(opacity[miss > 0.85].max()) < 0.05


def test_a_grown_field_is_read_back_from_its_state():
    field = VoxelField(BOX, 64)
    field.grow(0.5, 400, lambda count: rays_at(BOX, count))
    fresh = VoxelField(BOX, 64)
    fresh.load_state_dict(field.state_dict())
    rays = rays_at(BOX)
    for a, b in zip(field.render(rays, 0.5)[:3], fresh.render(rays, 0.5)[:3], strict=True):
        assert torch.equal(a, b)
    assert int(fresh.state_dict()["stage"][0]) == 1


def test_the_grid_spans_its_cells_and_an_empty_border():
    lattice = bordered(BOX, (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), edges(BOX, 10))
    assert lattice.dims == (12, 12, 12)
    middle = lattice.coordinates(torch.tensor([BOX.center]))
    torch.testing.assert_close(middle, torch.full((1, 3), 6.0))
    assert isinstance(lattice, Lattice)
    grid = first_grid(BOX, 10)
    assert len(grid) == 1000
    one = interpolate(grid, torch.ones(grid.size, 1) / 2, grid.march(lattice.walk(rays_at(BOX))))
    torch.testing.assert_close(one, torch.ones_like(one))


def test_a_field_moves_to_where_there_is_no_double_precision():
    def move(tensor: torch.Tensor) -> torch.Tensor:
        assert tensor.dtype != torch.float64
        return tensor

    field = VoxelField(BOX, 24)
    box = field.state_dict()["box"]
    assert torch.equal(field._apply(move).state_dict()["box"], box)


def test_fields_that_knew_less_of_what_is_unseen_load():
    field = VoxelField(AROUND, 64)
    state = field.state_dict()
    del state["background_sh"]
    fresh = VoxelField(AROUND, 64)
    fresh.load_state_dict(state)
    assert fresh.background_sh[0].tolist() == [0.5, 0.5, 0.5]
    fresh.load_state_dict(
        state | {"background_sh": torch.tensor([0.25, 0.5, 0.75])}
    )  # a colour alone
    assert fresh.background_sh[0].tolist() == [0.25, 0.5, 0.75]
    assert not fresh.background_sh[1:].any()


@pytest.mark.parametrize("resolution", [100, 400])
def test_more_rays_look_for_more_cells(monkeypatch, resolution):
    """Cells that few photos show would be missed, and lost for good."""
    monkeypatch.setattr(growth, "_LOOKS", 100)
    field = VoxelField(BOX, resolution)
    drawn = []

    def draw(count: int) -> Rays:
        drawn.append(count)
        return rays_at(BOX, count)

    growth.visible_cells(field, draw)
    wanted = 0.5 * len(field.grid)
    assert wanted <= sum(drawn) <= wanted + max(drawn)


def test_cells_are_kept_by_their_share_in_a_rays_colour(monkeypatch):
    """Rays are followed as far as they can show anything; none is lost by that."""
    monkeypatch.setattr(growth, "_LOOKS", 1)
    monkeypatch.setattr(growth, "_LOOKS_PER_CELL", 0.0)
    monkeypatch.setattr(growth, "_AT_ONCE", 300)
    field = VoxelField(AROUND, 200)
    density, features = some_tables(field.grid)
    field.density_table.data.copy_(density)
    rays = rays_at(AROUND, 300)
    found = look(field.grid, density, features, field.grid.lattice.walk(rays), Sampling())
    whole = torch.zeros(len(field.grid))
    whole.scatter_reduce_(0, found.cell.long(), found.weight, "amax")
    mask = torch.zeros_like(field.grid.mask)
    mask.view(-1)[field.grid.cells[whole > field.recipe.seen]] = True
    kept = growth.visible_cells(field, lambda count: rays_at(AROUND, count))
    assert 0 < int(kept.sum()) < len(field.grid)
    assert torch.equal(kept, dilate(mask) & field.grid.mask)


def test_a_look_that_comes_too_late_to_pay_is_left_out():
    field = VoxelField(AROUND, 24)
    last = len(field.recipe.stages) - 1
    field.stage.copy_(torch.tensor([last, 0, 400]))
    assert growth.next_grid(field, 0.95, 500, lambda count: rays_at(AROUND, count)) is None
    assert growth.next_grid(field, 0.5, 399, lambda count: rays_at(AROUND, count)) is None
    assert growth.next_grid(field, 0.5, 500, lambda count: rays_at(AROUND, count)) is not None
