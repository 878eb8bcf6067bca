"""Grid coordinates of points and of rays: boxes, NDC, and unbounded scenes."""

from __future__ import annotations

import pytest
import torch

from geometry.rays import Rays
from geometry.region import Region
from models.grids.cells import OccupiedCells
from models.grids.lattice import Lattice, unravel
from models.grids.traversal import grid_coordinates, t_to_s
from tests.helpers.grids import BOX, REGIONS, make_rays, t_of


@pytest.fixture(params=REGIONS)
def region(request) -> Region:
    return REGIONS[request.param]


def test_lattice_over_a_region():
    lattice = Lattice.over(Region((1.0, 2.0, 3.0), (1.0, 4.0, 2.0)), 16)
    assert lattice.dims == (4, 16, 8)
    low = lattice.coordinates(torch.tensor([0.0, -2.0, 1.0]))
    high = lattice.coordinates(torch.tensor([2.0, 6.0, 5.0]))
    torch.testing.assert_close(low, torch.zeros(3))
    torch.testing.assert_close(high, torch.tensor([4.0, 16.0, 8.0]))


def test_points_are_the_inverse_of_coordinates(region):
    lattice = Lattice.over(region, 32)
    x = torch.tensor(region.center) + 5 * torch.randn(200, 3)
    torch.testing.assert_close(lattice.points(lattice.coordinates(x)), x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", REGIONS)
def test_grid_rays_agree_with_points_and_coordinates(name):
    region = REGIONS[name]
    rays = make_rays(region)
    lattice = Lattice.over(region, 32)
    grid_rays = lattice.grid_rays(rays)
    through = (grid_rays.start < grid_rays.end).nonzero().squeeze(1)
    assert len(through) == len(rays)
    s = (
        grid_rays.start[:, None]
        + torch.linspace(0, 1, 37) * (grid_rays.end - grid_rays.start)[:, None]
    )
    t = t_of(grid_rays, s)
    along = grid_coordinates(grid_rays, torch.arange(len(rays)), s).movedim(0, -1)
    expected = lattice.coordinates(rays.points(t))
    torch.testing.assert_close(along, expected, rtol=1e-3, atol=2e-3)
    assert (t[:, 1:] >= t[:, :-1]).all()
    assert (t >= rays.near[:, None] - 1e-3).all()
    if not region.unbounded:
        assert (t <= rays.far[:, None] * (1 + 1e-3)).all()
    torch.testing.assert_close(t_to_s(grid_rays, t[:, 20]), s[:, 20], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["box", "ndc"])
def test_grid_rays_span_what_is_inside(name):
    region = REGIONS[name]
    rays = make_rays(region)
    lattice = Lattice.over(region, 32)
    grid_rays = lattice.grid_rays(rays)
    t = rays.near[:, None] + (rays.far - rays.near)[:, None] * torch.linspace(0, 1, 4001)
    dims = torch.tensor(lattice.dims)
    cell = lattice.coordinates(rays.points(t))
    inside = ((cell >= 0) & (cell <= dims)).all(dim=-1)
    spacing = (rays.far - rays.near) / 4000 * 1.01
    first = torch.where(inside, t, torch.inf).amin(dim=1)
    last = torch.where(inside, t, -torch.inf).amax(dim=1)
    assert ((t_of(grid_rays, grid_rays.start) - first).abs() <= spacing).all()
    assert ((t_of(grid_rays, grid_rays.end) - last).abs() <= spacing).all()


def test_rays_that_miss_have_nothing_to_traverse():
    origins = torch.tensor([[0.0, 5.0, -4.0], [0.0, 0.0, 4.0]])
    directions = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])  # beside it, and away from it
    ones = torch.ones(2)
    rays = Rays(origins, directions, directions, 0.1 * ones, 9 * ones, torch.zeros(2).long())
    grid_rays = Lattice.over(BOX, 8).grid_rays(rays)
    assert (grid_rays.end < grid_rays.start).all()


def test_cell_length_is_that_of_the_grid(region):
    """A cell's edges, from its corners' points."""
    lattice = Lattice.over(region, 64)
    unit = torch.rand(100, 3) * torch.tensor(lattice.dims, dtype=torch.float)
    x = lattice.points(0.5 * unit + 0.25 * torch.tensor(lattice.dims))
    place = lattice.coordinates(x)
    steps = 0.01 * torch.eye(3)
    lengths = torch.stack(
        [
            (lattice.points(place + step) - lattice.points(place - step)).norm(dim=1)
            for step in steps
        ]
    )
    torch.testing.assert_close(
        lattice.cell_length(x), 50 * lengths.amax(dim=0), rtol=0.02, atol=1e-4
    )


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("step", [1.0, 0.5, 0.3])
def test_sampling_visits_exactly_the_occupied_cells(name, step):
    region = REGIONS[name]
    rays = make_rays(region, seed=3)
    lattice = Lattice.over(region, 20)
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(lattice.dims, generator=generator) < 0.05
    grid_rays = lattice.grid_rays(rays)
    samples = OccupiedCells(lattice, mask).sample(grid_rays, step=step)
    assert (samples.s < grid_rays.end[samples.ray_indices]).all()
    inside = samples.s < grid_rays.end[samples.ray_indices] - 1e-3

    found = []
    for ray in range(len(rays)):
        count = int((grid_rays.end[ray] - grid_rays.start[ray]) / step) + 1
        for k in range(count):
            s = grid_rays.start[ray] + (k + 0.5) * step
            if s >= grid_rays.end[ray] - 1e-3:
                break
            place = grid_coordinates(grid_rays, torch.tensor([ray]), s[None, None])[:, 0, 0]
            index = [min(max(int(p), 0), n - 1) for p, n in zip(place, lattice.dims, strict=True)]
            if mask[tuple(index)]:
                found.append((ray, float(s), index))
    assert len(found) == int(inside.sum()) > 20
    assert [row[0] for row in found] == samples.ray_indices[inside].tolist()
    torch.testing.assert_close(torch.tensor([row[1] for row in found]), samples.s[inside])
    cells = OccupiedCells(lattice, mask).indices()[samples.cell[inside].long()]
    assert cells.tolist() == [row[2] for row in found]
    assert samples.starts.tolist() == [
        int((samples.ray_indices < ray).sum()) for ray in range(len(rays) + 1)
    ]


def test_places_of_a_flattened_grid_are_unravelled():
    dims = (5, 3, 7)
    index = torch.arange(5 * 3 * 7)
    torch.testing.assert_close(unravel(index, dims), torch.unravel_index(index, dims))
