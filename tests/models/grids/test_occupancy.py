"""Which cells a field fills: of a trained one, and followed in training."""

from __future__ import annotations

import torch

from models.grids.cells import dilate
from models.grids.occupancy import OccupancyGrid, estimate_occupancy
from tests.helpers.ball_field import CUBE, Ball


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


def test_an_occupancy_grid_follows_a_field():
    grid = OccupancyGrid(CUBE, 32, every=1)
    field = Ball(50.0, 0.6)
    assert len(grid.occupied) == 32**3
    for step in range(15):
        grid.update(field, step)
        assert len(grid.occupied) == 32**3  # not all cells were looked at yet
    grid.update(field, 15)
    first = len(grid.occupied)
    volume = 4 / 3 * 3.1416 * 0.6**3 / (3 / 32) ** 3
    assert volume < first < 3 * volume
    field.center = torch.tensor([0.7, 0.0, 0.0])
    for step in range(16, 32):
        grid.update(field, step)
    place = grid.lattice.coordinates(torch.tensor([[-0.5, 0.0, 0.0], [1.2, 0.0, 0.0]])).long()
    assert grid.mask[tuple(place.T)].tolist() == [True, True]  # seen lately, and seen now
    for step in range(32, 400):
        grid.update(field, step)
    assert grid.mask[tuple(place.T)].tolist() == [False, True]


def test_an_occupancy_grid_is_never_empty_while_the_field_has_any_density():
    grid = OccupancyGrid(CUBE, 16, every=2)
    for step in range(40):
        grid.update(Ball(1e-4), step)
    assert len(grid.occupied) > 500


def test_an_occupancy_grid_loads():
    grid = OccupancyGrid(CUBE, 16, every=1)
    for step in range(20):
        grid.update(Ball(50.0, 0.6), step)
    again = OccupancyGrid(CUBE, 16, every=1)
    assert len(again.occupied) == 16**3
    again.load_state_dict(grid.state_dict())
    assert torch.equal(again.occupied.cells, grid.occupied.cells)
    for one in (grid, again):
        one.update(Ball(50.0, 0.3), 20)
    assert torch.equal(again.opacity, grid.opacity)


def test_dilate_adds_all_neighbours():
    mask = torch.zeros((5, 4, 6), dtype=torch.bool)
    mask[0, 2, 3] = True
    expected = torch.zeros_like(mask)
    expected[0:2, 1:4, 2:5] = True
    assert torch.equal(dilate(mask), expected)
