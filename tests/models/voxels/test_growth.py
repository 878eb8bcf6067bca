"""How the sparse voxel field grows, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from geometry.rays import Rays
from models.grids.cells import dilate
from models.grids.lattice import Lattice
from models.voxels import growth
from models.voxels.field import VoxelField
from models.voxels.grid import VoxelGrid
from models.voxels.growth import bordered, divided, edges, first_grid
from models.voxels.integral.autograd import MarchConfig, integrate
from models.voxels.integral.reference import interpolate
from tests.helpers.voxels import AROUND, BOX, REGIONS, rays_at, some_grid, some_tables


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
    ours, theirs = field.render(rays, 0.5), fresh.render(rays, 0.5)
    for name in ("rgb", "depth", "opacity"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    assert int(fresh.state_dict()["stage"][0]) == 1


def test_the_grid_spans_its_cells_and_an_empty_border():
    lattice = bordered(BOX, (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), edges(BOX, 10))
    assert lattice.dims == (12, 12, 12)
    middle = lattice.coordinates(torch.tensor([BOX.center]))
    torch.testing.assert_close(middle, torch.full((1, 3), 6.0))
    assert isinstance(lattice, Lattice)
    grid = first_grid(BOX, 10)
    assert len(grid) == 1000
    one = interpolate(
        grid, torch.ones(grid.size, 1) / 2, grid.sample(lattice.grid_rays(rays_at(BOX)))
    )
    torch.testing.assert_close(one, torch.ones_like(one))


def visible(field: VoxelField, draw: Callable[[int], Rays]) -> torch.Tensor:
    """The cells that random rays see with what the field's tables hold."""
    tables = field.density_table.detach(), field.feature_table.detach()
    return growth.visible_cells(field.grid, *tables, field.recipe, draw)


@pytest.mark.parametrize("resolution", [100, 400])
def test_more_rays_are_drawn_where_there_are_more_cells(monkeypatch, resolution):
    """Cells that few photos show would be missed, and lost for good."""
    monkeypatch.setattr(growth, "PRUNE_RAYS", 100)
    field = VoxelField(BOX, resolution)
    drawn = []

    def draw(count: int) -> Rays:
        drawn.append(count)
        return rays_at(BOX, count)

    visible(field, draw)
    wanted = growth.PRUNE_RAYS_PER_CELL * len(field.grid)
    assert wanted <= sum(drawn) <= wanted + max(drawn)


@pytest.fixture
def few_rays(monkeypatch) -> int:
    """So many rays, once, find the visible cells."""
    monkeypatch.setattr(growth, "PRUNE_RAYS", 1)
    monkeypatch.setattr(growth, "PRUNE_RAYS_PER_CELL", 0.0)
    monkeypatch.setattr(growth, "_RAYS_AT_ONCE", 300)
    return 300


def test_cells_are_kept_by_their_share_in_a_rays_colour(few_rays):
    """Rays are followed as far as they can show anything; none is lost by that."""
    field = VoxelField(AROUND, 200)
    density, features = some_tables(field.grid)
    field.density_table.data.copy_(density)
    grid_rays = field.grid.lattice.grid_rays(rays_at(AROUND, few_rays))
    integral = integrate(field.grid, density, features, grid_rays, MarchConfig())
    whole = torch.zeros(len(field.grid))
    whole.scatter_reduce_(0, integral.cell.long(), integral.weight, "amax")
    mask = torch.zeros_like(field.grid.mask)
    mask.view(-1)[field.grid.cells[whole > field.recipe.prune_threshold]] = True
    kept = visible(field, lambda count: rays_at(AROUND, count))
    assert 0 < int(kept.sum()) < len(field.grid)
    assert torch.equal(kept, dilate(mask) & field.grid.mask)


def test_all_is_kept_where_nothing_is_visible_yet(few_rays):
    field = VoxelField(BOX, 64)
    torch.nn.init.constant_(field.density_table, -20.0)
    assert torch.equal(visible(field, lambda count: rays_at(BOX, count)), field.grid.mask)


@pytest.mark.parametrize(
    ("progress", "step", "is_due"), [(0.95, 500, 0), (0.5, 399, 0), (0.5, 500, 1)]
)
def test_a_pruning_that_comes_too_late_to_pay_is_left_out(progress, step, is_due):
    field = VoxelField(AROUND, 24)
    stage = torch.tensor([len(field.recipe.stages) - 1, 0, 400])
    grid = growth.next_grid(
        stage, field.recipe, 24, field.grid, progress, step, lambda: field.grid.mask
    )
    assert (grid is not None) == bool(is_due)
    assert stage[2] == (800 if is_due else 400)
