"""Time and memory of the voxel field against its resolution, the photos, and the occupied cells.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --resolutions 64 128 --photos 10 100 --shells 0.1 0.5 --rounds 3

The field is a ball whose surface alone is occupied, as a trained one's: a shell of some cells, or
of a share of the radius. Photos are noise. Each row is a process of its own (for its peak memory);
rows take turns, with another seed in each round; ratios are those of the medians to a table's
first row. A step is a training step with a fixed number of rays; a view is one rendered photo.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.record import Recorder, RecordOptions, Value, single
from benchmarks.support.device import device_name, median_seconds, peak_megabytes
from cli import parse
from datasets.demo.scene import spiral_poses
from datasets.loaders.ray_loader import RayLoader
from datasets.photos import Photos
from errors import UserError, run_command
from geometry.cameras import make_cameras
from geometry.rays import Bounds, image_rays
from geometry.region import Region
from losses import huber_loss
from models.parallel import use_device
from models.rendering.image import ImageRenderer
from models.rendering.renderer import TrainingMode
from models.voxels.field import VoxelField
from models.voxels.grid import VoxelGrid
from models.voxels.growth import first_grid
from models.voxels.recipe import OBJECT
from models.voxels.renderer import VoxelRenderer
from training.distributed.devices import resolve_device
from training.optim.lazy_adam import LazyAdam

_WARM_UP = 2  # steps
_RADIUS = 0.6  # of the ball, in halves of the box
_CELLS = 4.0  # thickness of its shell where the resolution or the photos change


@dataclass(frozen=True)
class Options(RecordOptions):
    """Measure how steps and views of the voxel field scale."""

    resolutions: tuple[int, ...] = (64, 128, 256, 512)
    """cells along a side, with a shell of four cells"""
    photos: tuple[int, ...] = (10, 100, 400)
    """photos that are trained on, at the second resolution"""
    shells: tuple[float, ...] = (0.05, 0.2, 1.0)
    """shares of the ball's radius that are occupied, at the second resolution"""
    size: int = 400
    """width and height of a photo and of a view"""
    batch_size: int = 4096
    """rays of a step"""
    steps: int = 20
    """steps of a round"""
    rounds: int = 3
    """rounds, each with another seed"""
    accelerator: str = "auto"
    """device"""
    row: str = ""
    """measure one row, RESOLUTION,PHOTOS,SHELL,SEED, and print its figures (used by the program
    itself)"""

    def __post_init__(self) -> None:
        counts = (*self.resolutions, *self.photos, self.size, self.batch_size, self.steps)
        if min(*counts, self.rounds) < 1 or not self.resolutions or not self.photos:
            raise UserError("--resolutions, --photos, --size, --steps ... must be positive")
        if not all(0 < shell <= 1 for shell in self.shells):
            raise UserError(f"--shells must be above 0 and at most 1, not {self.shells}")


def main() -> None:
    options = parse(Options)
    if options.row:
        resolution, photos, shell, seed = options.row.split(",")
        print(json.dumps(measure(options, int(resolution), int(photos), float(shell), int(seed))))
        return
    recorder = Recorder(options.record)
    middle = options.resolutions[min(1, len(options.resolutions) - 1)]
    few = options.photos[0]
    tables = {
        "resolution": [(n, few, 0.0) for n in options.resolutions],
        "photos": [(middle, n, 0.0) for n in options.photos],
        "occupied cells": [(middle, few, share) for share in options.shells],
    }
    print(
        f"{options.batch_size} rays, views of {options.size}x{options.size}, "
        f"{device_name(resolve_device(options.accelerator))}; medians of {options.rounds} rounds "
        f"of {options.steps} steps, ratios to the first row"
    )
    values: list[Value] = []
    for name, rows in tables.items():
        if rows:
            results = take_turns(options, rows)
            print_table(name, rows, results)
            values += summarize(name, rows, results)
    recorder.write(
        f"a ball of voxels, {options.batch_size} rays a step, views of {options.size}x"
        f"{options.size}, medians of {options.rounds} rounds",
        values,
        seeds=range(options.rounds),
    )


Row = tuple[int, int, float]


def take_turns(options: Options, rows: list[Row]) -> dict[Row, dict[str, float]]:
    """Medians of each row's figures."""
    results: dict[Row, list[dict[str, float]]] = {row: [] for row in rows}
    for seed in range(options.rounds):
        for row in rows:
            results[row].append(run(options, row, seed))
    return {
        row: {name: statistics.median(result[name] for result in of_row) for name in of_row[0]}
        for row, of_row in results.items()
    }


def run(options: Options, row: Row, seed: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scaling"]
    command += ["--row", ",".join(str(value) for value in (*row, seed))]
    for name in ("size", "batch_size", "steps", "accelerator"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def print_table(name: str, rows: list[Row], results: dict[Row, dict[str, float]]) -> None:
    first = results[rows[0]]
    print(f"\nagainst {name}:")
    for row in rows:
        resolution, photos, _ = row
        result = results[row]
        ratio = {key: result[key] / first[key] for key in ("step", "view", "megabytes")}
        print(
            f"{resolution:4}^3, {photos:4} photos, {result['cells'] / 1e3:8.1f}k cells, "
            f"{result['samples'] / 1e3:6.1f}k samples: "
            f"step {1e3 * result['step']:8.1f} ms ({ratio['step']:5.2f} x), "
            f"view {1e3 * result['view']:8.1f} ms ({ratio['view']:5.2f} x), "
            f"{result['megabytes']:6.0f} MB peak ({ratio['megabytes']:5.2f} x)"
        )


def summarize(table: str, rows: list[Row], results: dict[Row, dict[str, float]]) -> list[Value]:
    """The figures of a table, for the record."""
    values = []
    for row in rows:
        resolution, photos, _ = row
        result = results[row]
        name = f"against {table}: {resolution}^3, {photos} photos, "
        name += f"{result['cells'] / 1e3:.1f}k cells"
        values += [
            single(f"{name}, step", 1e3 * result["step"], "ms", "scaling", 1),
            single(f"{name}, view", 1e3 * result["view"], "ms", "scaling", 1),
            single(f"{name}, peak", result["megabytes"], "MB", "scaling", 0),
        ]
    return values


def measure(
    options: Options, resolution: int, photos: int, shell: float, seed: int
) -> dict[str, float]:
    """Seconds of a step and of a view, peak memory, cells, samples of a step."""
    device = resolve_device(options.accelerator)
    use_device(device, in_parts=True)
    torch.manual_seed(seed)
    field = ball(resolution, shell).to(device)
    loader = noise(photos, options.size, options.batch_size, seed, device)
    renderer = VoxelRenderer(field, background=1.0)
    optimizer = LazyAdam(field.parameter_groups(), betas=(0.9, 0.99))
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # all the work, and the next step finds the same field
    generator = torch.Generator(device).manual_seed(seed)
    batches = iter(loader)
    samples = []

    def step() -> None:
        batch = next(batches)
        outputs = renderer.render_train(batch.rays, TrainingMode(generator))
        huber_loss(outputs, batch.rgbs).backward()
        optimizer.step()
        optimizer.zero_grad()
        samples.append(list(outputs.values())[-1].n_samples)

    render = ImageRenderer(renderer, renderer.rays_per_chunk)
    rays = image_rays(loader.cameras, loader.bounds, 0)
    for _ in range(_WARM_UP):
        step()
    result = {
        "step": median_seconds(step, options.steps, device),
        "view": median_seconds(lambda: render(rays), 3, device),
    }
    cells, taken = float(len(field.grid)), statistics.mean(samples)
    return {**result, "megabytes": peak_megabytes(device), "cells": cells, "samples": taken}


def ball(resolution: int, shell: float) -> VoxelField:
    """A field in its last stage: a solid ball, of which a shell (a share of the radius, or 0 for
    some cells) is occupied."""
    region = Region((0.0, 0.0, 0.0), (1.5, 1.5, 1.5))
    lattice = first_grid(region, resolution).lattice
    axes = [
        torch.arange(n) * edge + low + edge / 2
        for n, edge, low in zip(lattice.dims, lattice.edge, lattice.low, strict=True)
    ]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    radius = (x * x + y * y + z * z).sqrt()
    thickness = shell * _RADIUS or _CELLS * lattice.edge[0]
    grid = VoxelGrid(lattice, (radius < _RADIUS) & (radius >= _RADIUS - thickness))
    field = VoxelField(region, resolution)
    channels = field.feature_table.shape[1]
    solid: Tensor = torch.full((grid.size, 1), 6.0)
    state = field.state_dict() | {
        "stage": torch.tensor([len(OBJECT.stages) - 1, 0, 400]),
        "cells": grid.cells.int(),
        "dims": torch.tensor(lattice.dims),
        "box": torch.tensor([lattice.low, lattice.edge], dtype=torch.float64),
        "density_table": solid,
        "feature_table": torch.rand(grid.size, channels) - 0.5,
    }
    field.load_state_dict(state)
    return field


def noise(count: int, size: int, batch_size: int, seed: int, device: torch.device) -> RayLoader:
    """Rays of photos of noise around the ball."""
    focal = 0.5 * size / math.tan(0.35)
    cameras = make_cameras(
        spiral_poses(count, 5.0, 70.0), [(focal, focal, size / 2, size / 2)] * count,
        [(size, size)] * count,
    )  # fmt: skip
    area = size * size
    pixels = torch.randint(256, (count * area, 3), dtype=torch.uint8)
    photos = Photos(pixels, torch.full((count,), size), torch.arange(count + 1) * area)
    bounds = Bounds(2.0, 6.0)
    return RayLoader(photos, cameras, bounds, batch_size, seed=seed, device=device, endless=True)


if __name__ == "__main__":
    run_command(main)
