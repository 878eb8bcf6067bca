"""Quick pictures of a voxel field against the full march of all rays."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from evaluation.metrics import psnr
from evaluation.pictures import to_8_bit
from geometry.cameras import Cameras
from geometry.ndc import NDC
from geometry.rays import Bounds, Rays, cast_rays, image_rays
from geometry.region import Region
from models.grids.traversal import grid_coordinates
from models.rendering.coarse_to_fine import coarse_to_fine
from models.rendering.depth import mean_t
from models.rendering.image import ImageRenderer
from models.rendering.output import RenderOutput
from models.rendering.renderer import TrainingMode
from models.voxels.field import VoxelField
from models.voxels.grid import VoxelGrid
from models.voxels.integral.autograd import MarchConfig
from models.voxels.integral.inference import flat_cells, interpolate, march_inference
from models.voxels.integral.kernels import DENSITY_SHIFT
from models.voxels.integral.march import render_rays
from models.voxels.integral.merged import empty_distance, merge_lattices, merged
from models.voxels.picture import QuickRenderer
from models.voxels.renderer import VoxelRenderer
from tests.helpers.voxels import AROUND, BOX, FORWARD, REGIONS, rays_at, some_grid, some_tables

CPU = torch.device("cpu")
SIZE = (150, 117)


def made_field(region: Region, resolution: int = 300) -> VoxelField:
    """A floor with a pattern, a ball above it and thin wires; the coarse values are noise."""
    field = VoxelField(region, resolution)
    generator = torch.Generator().manual_seed(0)
    x = field.grid.corner_coordinates()
    middle = x.new_tensor(field.grid.lattice.dims) / 2
    side = float(middle.min())
    u, v, w = ((x - middle) / side).unbind(1)
    ball = 0.3 - (u.square() + v.square() + w.square()).sqrt()
    floor = -0.35 - v
    thin = 0.5 / side  # half a cell: one corner across
    wires = [
        torch.maximum((u - 0.4).abs(), (w - 0.1).abs()),
        torch.maximum((u + v * 0.5).abs(), (w - 0.35).abs()),
        torch.maximum((v - 0.42).abs(), (w + 0.2).abs()),
    ]
    inside = torch.stack([ball, floor, *(thin - wire for wire in wires)]).amax(dim=0) * side
    with torch.no_grad():
        count = len(x)
        field.density_table.normal_(0, 0.5, generator=generator)
        field.density_table[:count, 0] += (8 * inside).clamp(-10, 10) - DENSITY_SHIFT / 2
        field.feature_table.normal_(0, 0.1, generator=generator)
        pattern = torch.stack([(9 * u).sin(), (7 * w).cos(), (8 * (u + w)).sin()], dim=1)
        field.feature_table[:count, :3] += 0.4 * pattern
        for layer in field.shader.network:
            if isinstance(layer, torch.nn.Linear):
                layer.weight.normal_(0, 0.2, generator=generator)
    return field


def camera(region: Region) -> tuple[Cameras, Bounds]:
    """One that sees the middle of the region from aside and above."""
    width, height = SIZE
    if region is FORWARD:
        focal = 0.7 * width
        c2w = torch.eye(4)[:3]
        ndc = NDC(2 * focal / width, 2 * focal / height)
        bounds = Bounds(0.0, 1.0, ndc)
    else:
        focal = 1.1 * width
        place = torch.tensor([0.9, 0.7, 2.4]) * region.half[0] + torch.tensor(region.center)
        back = torch.nn.functional.normalize(place - torch.tensor(region.center), dim=0)
        right = torch.nn.functional.normalize(
            torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), back), dim=0
        )
        c2w = torch.stack([right, torch.linalg.cross(back, right), back, place], dim=1)
        bounds = Bounds(0.05, 8.0)
    intrinsics = torch.tensor([[focal, focal, width / 2, height / 2]])
    return Cameras(c2w[None], intrinsics, torch.tensor([SIZE])), bounds


def both(field: VoxelField, region: Region) -> tuple[RenderOutput, RenderOutput]:
    """The full march of all rays, and the quick picture."""
    cameras, bounds = camera(region)
    marching = VoxelRenderer(field)
    full = ImageRenderer(marching, marching.rays_per_chunk)(image_rays(cameras, bounds, 0))
    return full, quickly(field, region)


def quickly(field: VoxelField, region: Region) -> RenderOutput:
    renderer = QuickRenderer.of(VoxelRenderer(field))
    return ImageRenderer(renderer, renderer.rays_per_chunk).view(*camera(region), 0)


def agreement(full: RenderOutput, quick: RenderOutput) -> float:
    return psnr(to_8_bit(quick.rgb, SIZE), to_8_bit(full.rgb, SIZE))


@REGIONS
def test_a_quick_picture_is_that_of_the_full_march(region):
    field = made_field(region)
    full, quick = both(field, region)
    image = to_8_bit(full.rgb, SIZE)
    assert image.std() > 20  # there is something to see
    assert agreement(full, quick) > 45
    assert float((full.opacity - quick.opacity).abs().mean()) < 2e-3
    seen, far = mean_t(quick), mean_t(full)
    assert float(((seen > 0) != (far > 0)).float().mean()) < 1e-3
    off = ((seen - far).abs() / far)[(seen > 0) & (far > 0)]
    assert float(off.mean()) < 5e-3
    assert float(off.quantile(0.99)) < 0.03


def test_pixels_are_left_out_only_where_cells_are_wide():
    strides = {}
    for region in (BOX, AROUND):
        cameras, bounds = camera(region)
        quick = QuickRenderer(made_field(region))
        strides[region] = [
            quick.pixel_stride(cameras.resized(width, width), bounds, 0)
            for width in (20, 600, 3000)
        ]
    assert strides[BOX][0] == strides[AROUND][0] == 1
    assert strides[BOX][-1] == strides[AROUND][-1] == 4
    assert all(some == sorted(some) for some in strides.values())


@pytest.mark.parametrize("step", [1.0, 0.67])
@REGIONS
def test_what_rays_meet_is_what_the_march_finds(region, step):
    grid, rays = some_grid(region), rays_at(region, 300)
    density, features = some_tables(grid)
    density = density - 3  # rays go on behind what they meet first
    exact = MarchConfig(exact=True, step=step)
    feature, opacity, depth, samples = render_rays(density, features, grid, rays, exact)
    walk = grid.lattice.grid_rays(rays)
    tables = merged(grid, density, features)
    found = march_inference(walk, tables, list(grid.lattice.dims), step, 0.0, 0.0)
    assert samples > 1000
    for ours, theirs in zip(found, (feature, opacity, depth), strict=False):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=3e-4)


@pytest.mark.parametrize("share", [0.002, 0.1])
@REGIONS
def test_no_skip_goes_over_anything(region, share):
    """Against all of the rays' samples, also where contracted space makes steps of three cells."""
    grid, rays = some_grid(region, 40.0, share), rays_at(region, 2000)
    density, features = some_tables(grid)
    walk = grid.lattice.grid_rays(rays)
    count = int((walk.end - walk.start).clamp_min(0).max()) + 1
    s = walk.start[:, None] + torch.arange(count) + 0.5
    place = grid_coordinates(walk, torch.arange(len(rays)), s)
    dims = list(grid.lattice.dims)
    cell = grid.number[flat_cells(place, dims).long()].view(-1)
    tables = merged(grid, density, features)
    clear = interpolate(tables.clear, cell.where(cell >= 0, len(grid)), place.frac().view(3, -1))
    thickness = torch.nn.functional.softplus(-clear).view(s.shape) * (s < walk.end[:, None])
    opacity = march_inference(walk, tables, dims, 1.0, 0.0, 0.0)[1]
    assert int((opacity > 0.5).sum()) > 20
    torch.testing.assert_close(opacity, -torch.expm1(-thickness.sum(dim=1)), atol=1e-5, rtol=0)


@REGIONS
def test_merged_lattices_are_their_sum(region):
    grid = some_grid(region)
    density, features = some_tables(grid)
    cell = torch.arange(len(grid))
    within = torch.rand(3, len(grid), generator=torch.Generator().manual_seed(4))
    weights = grid.weights(cell, within)
    wanted = (weights[:, :, None] * density[grid.rows.long()]).sum(dim=1)
    together, others = merge_lattices(grid, density, features)
    corners = together.squeeze(1)[grid.rows[:, :8].long()]
    torch.testing.assert_close(
        interpolate(corners, cell, within), wanted.squeeze(1), rtol=1e-4, atol=1e-4
    )
    assert len(others) == len(together) == len(grid.levels[0].corners)


def test_skips_end_before_anything_that_is_occupied():
    mask = torch.rand(37, 22, 51, generator=torch.Generator().manual_seed(0)) < 2e-4
    occupied = mask.nonzero()
    assert len(occupied) > 3
    every = torch.ones_like(mask).nonzero()
    distance = (every[:, None] - occupied).abs().amax(dim=-1).amin(dim=1).view(mask.shape)
    free = empty_distance(mask).int()
    assert bool((free <= (distance - 1).clamp_min(0)).all())
    near = distance <= 5
    assert bool((free == (distance - 1).clamp_min(0))[near].all())
    assert int(free.max()) > 10


def test_changed_tables_are_merged_anew():
    field = made_field(BOX, 120)
    state = {name: value.clone() for name, value in field.state_dict().items()}
    first = quickly(field, BOX)
    tables = merged(field.grid, field.density_table, field.feature_table)
    assert merged(field.grid, field.density_table, field.feature_table) is tables
    with torch.no_grad():  # as an optimizer does
        field.feature_table[:, 0].add_(0.3)
    full, quick = both(field, BOX)
    assert agreement(full, quick) > 45
    assert agreement(first, quick) < 30
    with torch.no_grad():
        field.density_table.copy_(field.density_table - 3)
    full, quick = both(field, BOX)
    assert agreement(full, quick) > 45
    field.load_state_dict(state)  # a new grid, new tables
    full, quick = both(field, BOX)
    assert agreement(full, quick) > 45
    torch.testing.assert_close(quick.rgb, first.rgb)
    # Tables that come and go with the same grid, maybe at the same place.
    for seed in range(3):
        other = VoxelGrid(field.grid.lattice, field.grid.mask)
        density = torch.full((other.size, 1), float(seed))
        clear = merged(other, density, torch.zeros(other.size, 3)).clear[0]
        torch.testing.assert_close(
            clear, torch.full((8,), -2 * seed - DENSITY_SHIFT), atol=1e-4, rtol=0
        )
        del density


def test_a_quick_picture_is_the_same_each_time():
    field = made_field(AROUND, 120)
    pictures = [quickly(field, AROUND) for _ in range(3)]
    for other in pictures[1:]:
        assert torch.equal(other.rgb, pictures[0].rgb)
        assert torch.equal(other.depth, pictures[0].depth)
        assert torch.equal(other.opacity, pictures[0].opacity)


def test_training_goes_on_as_if_there_had_been_no_picture():
    results = []
    for looks in (False, True):
        torch.manual_seed(0)
        field = made_field(AROUND, 120)
        optimizer = torch.optim.Adam(field.parameter_groups())
        for step in range(3):
            if looks:
                with torch.inference_mode(step == 1):
                    quickly(field, AROUND)
            rays = rays_at(AROUND, 64, seed=step)
            generator = torch.Generator().manual_seed(step)
            shown = VoxelRenderer(field).render_train(rays, TrainingMode(generator))["voxels"]
            optimizer.zero_grad()
            shown.rgb.square().mean().backward()
            for parameter in field.parameters():
                if parameter.grad is not None:
                    parameter.grad = parameter.grad.to_dense()
            optimizer.step()
            field.after_step(step, 1.0)
        results.append([parameter.detach().clone() for parameter in field.parameters()])
    for plain, looked in zip(*results, strict=True):
        assert torch.equal(plain, looked)


def test_a_ray_that_meets_nothing_shows_the_background():
    field = made_field(BOX, 120)
    with torch.no_grad():
        field.density_table.fill_(-40)
    cameras, bounds = camera(BOX)
    quick = QuickRenderer(field, background=0.75)
    picture = ImageRenderer(quick, 5000).view(cameras, bounds, 0)
    torch.testing.assert_close(picture.rgb, torch.full_like(picture.rgb, 0.75), atol=1e-4, rtol=0)
    assert float(picture.opacity.max()) < 1e-3
    assert not bool(mean_t(picture).any())


class Drawn:
    """A picture that is a function of the pixel, and how many were asked for."""

    def __init__(self, value) -> None:
        self.value, self.asked = value, 0

    def __call__(self, x: Tensor, y: Tensor) -> RenderOutput:
        self.asked += len(x)
        value = self.value(x.float(), y.float())
        return RenderOutput(value[:, None].repeat(1, 3), value, torch.ones_like(value))

    def full(self, width: int, height: int) -> Tensor:
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        return self.value(x.reshape(-1).float(), y.reshape(-1).float())


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (64, 48), (67, 50), (61, 81)])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_what_runs_straight_is_interpolated(size, stride):
    width, height = size
    drawn = Drawn(lambda x, y: 0.1 + 0.004 * x + 0.003 * y)
    picture = coarse_to_fine(drawn, size, stride, CPU)
    torch.testing.assert_close(picture.rgb[:, 0], drawn.full(*size))
    torch.testing.assert_close(picture.depth, drawn.full(*size))
    rows, columns = (math.ceil((side - 1) / stride) + 1 for side in (height, width))
    assert drawn.asked == rows * columns


def test_edges_and_lines_are_rendered():
    def disc_and_line(x: Tensor, y: Tensor) -> Tensor:
        disc = ((x - 30).square() + (y - 25).square() < 150).float()
        line = ((x - 2 * y + 40).abs() < 2.2).float()
        return 0.2 + 0.5 * disc + 0.3 * line * (1 - disc)

    drawn = Drawn(disc_and_line)
    picture = coarse_to_fine(drawn, (97, 71), 4, CPU)
    assert torch.equal(picture.rgb[:, 1], drawn.full(97, 71))
    assert drawn.asked < 0.6 * 97 * 71


def test_other_renderers_render_every_pixel():
    cameras, bounds = camera(BOX)

    def render(rays: Rays) -> RenderOutput:
        return RenderOutput(rays.viewdirs, rays.near, rays.far)

    picture = ImageRenderer(render, 1000).view(cameras, bounds, 0)
    assert torch.equal(picture.rgb, image_rays(cameras, bounds, 0).viewdirs)


def test_chosen_pixels_have_their_own_rays():
    cameras, bounds = camera(AROUND)
    x, y = torch.tensor([3, 149, 152]), torch.tensor([7, 116, 118])  # the last beyond the edge
    rays = cast_rays(cameras, bounds, torch.zeros_like(x), x, y)
    every = image_rays(cameras, bounds, 0)
    torch.testing.assert_close(rays.viewdirs[:2], every.viewdirs[y[:2] * SIZE[0] + x[:2]])
    torch.testing.assert_close(rays.viewdirs.norm(dim=1), torch.ones(3))
