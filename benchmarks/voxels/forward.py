"""Where the time of the voxel field's forward pass goes.

    python -m benchmarks.voxels.forward --ckpt_path ckpts/lego/last.ckpt

TorchScript runs its parts as one; here they are called one after the other on the same rays, in
as many threads: the traversal of the grid, the gathers from the tables, the shading network. The
rest is weights and sums along rays.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from benchmarks.record import Recorder, RecordOptions, single
from benchmarks.support.device import device_name, median_seconds
from benchmarks.support.timed_system import TimedSystem, draw_rays, load_system, usual_batch
from cli import parse
from errors import UserError, require, run_command
from models.grids.traversal import select_rays
from models.parallel import parallel, split_for_device
from models.rendering.renderer import TrainingMode
from models.voxels.integral.autograd import MarchConfig, integrate
from models.voxels.renderer import VoxelRenderer


@dataclass(frozen=True)
class Options(RecordOptions):
    """Break down the forward pass of the voxel field."""

    ckpt_path: str
    """checkpoint of a voxel field"""
    root_dir: str | None = None
    """folder of the scene, where it has moved"""
    batch_size: int | None = None
    """rays; by default as many as a training step takes"""
    steps: int = 50
    """calls of each part, of which the median is taken"""
    accelerator: str = "auto"
    """device"""

    def __post_init__(self) -> None:
        require(min(self.steps, self.batch_size or 1) > 0, "--steps, --batch_size: above 0")


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    system = load_system(options.ckpt_path, options.root_dir, options.accelerator)
    renderer = system.renderer
    if not isinstance(renderer, VoxelRenderer):
        raise UserError(f"{options.ckpt_path}: not a voxel field, whose parts are measured here")
    rays = options.batch_size or usual_batch(system)
    parts, samples = measure(system, renderer, rays, options.steps)
    field = renderer.field
    title = (
        f"{system.scene.name}, {rays} rays, {samples} samples, {len(field.grid)} cells of "
        f"{field.resolution}^3, {field.grid.size} rows"
    )
    print(f"{title}; {device_name(system.device)}; medians of {options.steps} calls")
    for name, seconds in parts.items():
        print(f"{name:20} {1e3 * seconds:8.2f} ms")
    values = [single(name, 1e3 * s, "ms", "speed", 2) for name, s in parts.items()]
    recorder.write(f"parts of the voxels' forward pass: {title}", values)


def measure(
    system: TimedSystem, renderer: VoxelRenderer, n_rays: int, steps: int
) -> tuple[dict[str, float], int]:
    """Seconds of each part, and the samples of the rays."""
    field, device = renderer.field, system.device
    grid, shader = field.grid, field.shader
    rays = draw_rays(system, n_rays)
    slices = split_for_device(n_rays, device)
    every = list(range(len(slices)))
    generator = torch.Generator(device).manual_seed(0)
    random = torch.rand(8, n_rays, generator=generator, device=device)
    uniforms = [random[:, part] for part in slices]
    grid_rays = grid.lattice.grid_rays(rays)
    parts = [select_rays(grid_rays, part) for part in slices]
    density, features = field.density_table.detach(), field.feature_table.detach()
    found = [integrate(grid, density, features, parts[i], MarchConfig(uniforms[i])) for i in every]
    feature = torch.cat([part.feature for part in found])
    opacity = torch.cat([part.opacity for part in found])

    def traverse() -> None:
        grid.lattice.grid_rays(rays)
        parallel(lambda i: grid.sample(parts[i], uniforms[i][0]), every)

    def gather(i: int) -> None:
        rows, weights, visible = found[i].rows, found[i].weights, found[i].visible
        F.embedding_bag(rows, density, mode="sum", per_sample_weights=weights)
        rows, weights = rows.index_select(0, visible), weights.index_select(0, visible)
        F.embedding_bag(rows, features, mode="sum", per_sample_weights=weights)

    mode = TrainingMode(generator)
    seconds = {
        "traversal": median_seconds(traverse, steps, device),
        "gathers": median_seconds(lambda: parallel(gather, every), steps, device),
        "shader": median_seconds(lambda: shader(feature, opacity, rays.viewdirs), steps, device),
    }
    whole = median_seconds(lambda: renderer.render_train(rays, mode), steps, device)
    seconds["weights and sums"] = whole - sum(seconds.values())
    seconds["forward pass"] = whole
    return seconds, sum(len(part.ray) for part in found)


if __name__ == "__main__":
    run_command(main)
