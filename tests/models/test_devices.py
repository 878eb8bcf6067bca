"""The same code on a GPU: what it computes there is what the processor computes.

Skipped where there is no GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from datasets import load_scene
from geometry.rays import RayLimits, Rays
from losses import loss_dict
from models.grids.lattice import Lattice
from models.tensorf.field import TensoRF
from models.voxels.field import VoxelField
from models.voxels.grid import VoxelGrid
from models.voxels.integral.autograd import MarchConfig, integrate_voxels
from models.voxels.integral.march import render_rays
from models.voxels.regularisation import TotalVariation
from tests.helpers.models import SMALL_NERF, build, options_of, training_mode
from tests.helpers.runs import COMMON, RUNS, command, found, val_psnr
from tests.helpers.voxels import AROUND, BOX, FORWARD, rays_at, some_grid, some_tables
from tests.scenes import write_blender
from training.optim.lazy_adam import LazyAdam

REGIONS = {"box": BOX, "around": AROUND, "ndc": FORWARD}
GPUS: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
}


@pytest.fixture(params=GPUS)
def gpu(request: Any) -> torch.device:
    if not GPUS[request.param]():
        pytest.skip(f"no {request.param} on this machine")
    return torch.device(request.param)


def same(ours: torch.Tensor, theirs: torch.Tensor, rtol: float = 1e-3) -> None:
    torch.testing.assert_close(ours.cpu(), theirs.cpu(), rtol=rtol, atol=1e-4)


def grid_on(device: torch.device, grid: VoxelGrid) -> VoxelGrid:
    return VoxelGrid(grid.lattice, grid.mask.to(device))


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("training", [True, False], ids=["training", "picture"])
def test_voxels_are_rendered_alike(gpu, name, training):
    grid, rays = some_grid(REGIONS[name]), rays_at(REGIONS[name])
    limits = RayLimits(torch.linspace(1, 6, len(rays)), torch.full((len(rays),), 0.5))
    uniform = torch.rand(8, len(rays), generator=torch.Generator().manual_seed(3))
    weight = torch.randn(len(rays), 5, generator=torch.Generator().manual_seed(4))
    results = []
    for device in (gpu, torch.device("cpu")):
        mine = [table.to(device).requires_grad_() for table in some_tables(grid)]
        config = MarchConfig(exact=True, step=0.5)
        if training:
            config = MarchConfig(
                uniform.to(device),
                exact=True,
                near_gradient_scaling=1.0,
                limits=RayLimits(limits.t.to(device), limits.cells.to(device)),
                n_colored=30,
            )
        render: Any = integrate_voxels if training else render_rays
        out = render(*mine, grid_on(device, grid), rays.to(device), config)
        got = list(out[:3])
        if training:
            loss = (out[0] * weight.to(device)).sum() + out[1].square().sum()
            got += [g.to_dense() if g.is_sparse else g for g in torch.autograd.grad(loss, mine)]
        results.append(got)
    for ours, theirs in zip(*results, strict=True):
        same(ours, theirs)


def test_what_is_random_on_a_gpu_is_right_on_average(gpu):
    grid, rays = some_grid(BOX, cells=6), rays_at(BOX, count=12).to(gpu)
    grid = grid_on(gpu, grid)
    density, features = (t.to(gpu).requires_grad_() for t in some_tables(grid, channels=3))
    fixed = torch.full((8, len(rays)), 0.3, device=gpu)
    exact = integrate_voxels(density, features, grid, rays, MarchConfig(fixed, exact=True))
    wanted = [
        g.to_dense() if g.is_sparse else g
        for g in torch.autograd.grad(exact[0].sum(), (density, features))
    ]
    rounds, total = 1000, [torch.zeros_like(density), torch.zeros_like(features)]
    for seed in range(rounds):
        generator = torch.Generator(gpu).manual_seed(seed)
        uniform = torch.rand(8, len(rays), generator=generator, device=gpu)
        uniform[0] = 0.3
        out = integrate_voxels(density, features, grid, rays, MarchConfig(uniform))
        grads = torch.autograd.grad(out[0].sum(), (density, features))
        for sum_, grad in zip(total, grads, strict=True):
            sum_ += (grad.to_dense() if grad.is_sparse else grad) / rounds
    for ours, theirs in zip(total, wanted, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 0.1


def test_a_table_is_smoothed_and_updated_alike(gpu):
    grid = some_grid(BOX)
    start = some_tables(grid)[1]
    rows = torch.randint(grid.size, (300,), generator=torch.Generator().manual_seed(5))
    values = torch.randn(300, 5, generator=torch.Generator().manual_seed(6))
    results = []
    for device in (gpu, torch.device("cpu")):
        table = torch.nn.Parameter(start.to(device))
        optimizer = LazyAdam([{"params": [table], "lr": 0.1}], (0.9, 0.99))
        for step in range(8):
            table.grad = torch.sparse_coo_tensor(
                rows[None].to(device), values.to(device), table.shape
            )
            optimizer.step()
            TotalVariation(0.1, 0.5, 3).step(grid_on(device, grid), table.data, step)
        results.append(table.detach())
    same(results[0], results[1])


def test_a_field_moves_to_a_gpu_and_grows_there(gpu):
    field = VoxelField(BOX, 24).to(gpu)
    assert field.grid.mask.device.type == gpu.type
    rays = rays_at(BOX, count=8192)
    with torch.no_grad():
        field.density_table.fill_(5.0)
    cells = len(field.grid)
    for progress, step in ((0.3, 1000), (0.3, 2000), (0.9, 6000)):
        replaced = field.grow(progress, step, lambda count: rays[:count].to(gpu))
        assert all(r.new.device.type == gpu.type for r in replaced)
    assert len(field.grid) > cells
    output = field.render(rays[:100].to(gpu), 1.0)
    same(output.rgb, field.to("cpu").render(rays[:100], 1.0).rgb)


@pytest.mark.parametrize("region", [BOX, AROUND], ids=["box", "around"])
def test_tensorf_is_the_same(gpu, region):
    torch.manual_seed(0)
    field = TensoRF(region, 24)
    x = torch.rand(500, 3) - 0.5
    views = torch.nn.functional.normalize(torch.randn(500, 3), dim=1)
    results = []
    for device in (torch.device("cpu"), gpu):
        field = field.to(device)
        field.zero_grad()
        raw, feature = field.density(x.to(device))
        rgb = field.color(feature, views.to(device))
        (raw.square().sum() + rgb.square().sum()).backward()
        grads = [p.grad.clone() for p in field.parameters() if p.grad is not None]
        results.append([raw.detach(), rgb.detach(), *grads])
    for ours, theirs in zip(*results, strict=True):
        same(ours, theirs)


@pytest.mark.parametrize("sampler", ["hierarchical", "occupancy"])
def test_the_papers_network_takes_the_same_step(gpu, sampler, tmp_path):
    scene = write_blender(tmp_path / "ball")
    options = options_of(root_dir=str(scene), sampler=sampler, **SMALL_NERF)
    torch.manual_seed(0)
    fields, renderer = build(options, load_scene(options))
    rays = rays_at(BOX, count=64)
    rays = replace(rays, near=0 * rays.near + 2, far=0 * rays.far + 6)
    target = torch.rand(64, 3)
    losses = []
    for device in (torch.device("cpu"), gpu):
        for field in fields.values():
            field.to(device)
        outputs = renderer.render_train(rays.to(device), training_mode(device=device))
        losses.append(loss_dict["mse"](outputs, target.to(device)))
    same(losses[0], losses[1])


@pytest.mark.parametrize("model", RUNS)
def test_a_gpu_trains_and_a_processor_shows_the_same_pictures(gpu, model, tmp_path):
    write_blender(tmp_path / "ball")
    common = [gpu.type if word == "cpu" else word for word in COMMON]
    output = command(tmp_path, "train", *common, *RUNS[model])
    assert f"on 1 {'GPU' if gpu.type == 'cuda' else 'MPS'}" in output
    least = {"tensorf": 12.0, "nerf": 9.5, "voxels": 25.0}[model]
    assert val_psnr(output) > least
    values = [
        found(
            r"PSNR ([\d.]+) dB",
            command(
                *(tmp_path, "eval", "--ckpt_path", "ckpts/exp/last.ckpt", "--split", "val"),
                *("--accelerator", device),
            ),
        )
        for device in (gpu.type, "cpu")
    ]
    assert abs(values[0] - values[1]) < 0.05


def test_voxels_train_in_half_precision(gpu, tmp_path):
    write_blender(tmp_path / "ball")
    common = [gpu.type if word == "cpu" else word for word in COMMON]
    precision = ("--precision", "bf16-mixed")
    assert val_psnr(command(tmp_path, "train", *common, *RUNS["voxels"], *precision)) > 24


def test_rays_and_lattices_follow_a_device(gpu):
    rays: Rays = rays_at(AROUND).to(gpu)
    grid_rays = Lattice.over(AROUND, 16).grid_rays(rays)
    theirs = Lattice.over(AROUND, 16).grid_rays(rays.to("cpu"))
    for ours, other in zip(grid_rays, theirs, strict=True):
        same(ours, other)
