"""A trained network rendered through an occupancy grid, against the paper's two passes.

    python -m benchmarks.occupancy_rendering --ckpt_path ckpts/exp/last.ckpt

Takes the views from the checkpoint's scene; the renderers take turns on each view. The grid is
built once for a network; its time is given apart.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from api import load_model
from benchmarks.record import Recorder, RecordOptions, median_of, single
from cli import parse
from datasets import load_scene
from errors import UserError, run_command
from evaluation.metrics import psnr
from evaluation.pictures import to_8_bit
from geometry.rays import image_rays
from geometry.region import Region
from models.grids.occupancy import estimate_occupancy
from models.rendering.hierarchical import HierarchicalRenderer
from models.rendering.image import ImageRenderer
from models.rendering.occupancy import OccupancyMarchConfig, OccupancyRenderer
from opt import EvalOptions, TrainOptions, from_dict
from training.checkpoints import read_checkpoint
from training.distributed.devices import resolve_device


@dataclass(frozen=True)
class Options(RecordOptions):
    """Measure rendering through an occupancy grid."""

    ckpt_path: str
    """a checkpoint of train.py with a coarse and a fine network"""
    root_dir: str | None = None
    """where the scene is now"""
    half: float = 1.5
    """half the side of the cube around the origin that the scene fills"""
    resolution: int = 128
    """cells along a side"""
    step: float = 0.5
    """between samples, in cells; at most 1"""
    views: int = 4
    """test views, evenly spread"""
    accelerator: str = "auto"
    """auto, cpu, gpu or mps"""

    def __post_init__(self) -> None:
        for name in ("half", "resolution", "views"):
            if getattr(self, name) <= 0:
                raise UserError(f"--{name} must be positive, not {getattr(self, name)}")
        if not 0 < self.step <= 1:
            raise UserError(f"--step must be above 0 and at most 1, not {self.step}")


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    device = resolve_device(options.accelerator)
    checkpoint = read_checkpoint(Path(options.ckpt_path))
    trained = EvalOptions(options.ckpt_path, options.root_dir).over(
        from_dict(TrainOptions, checkpoint.options)
    )
    scene = load_scene(trained)
    model = load_model(checkpoint, trained, scene, device)
    two_passes = model.renderer.render
    if not isinstance(two_passes, HierarchicalRenderer) or two_passes.fine is None:
        raise UserError(f"{options.ckpt_path}: has no fine network to compare with")

    region = Region((0.0, 0.0, 0.0), (options.half,) * 3)
    start = time.perf_counter()
    occupancy = estimate_occupancy(two_passes.fine, region, options.resolution, device=device)
    building = time.perf_counter() - start
    config = OccupancyMarchConfig(step=options.step)
    marching = OccupancyRenderer(
        two_passes.fine, occupancy, scene.background, config, two_passes.chunk
    )
    renderers = {
        "two passes": model.renderer,
        "occupancy": ImageRenderer(marching, marching.rays_per_chunk),
    }

    test = scene.splits["test"]
    views = [test[i * len(test) // options.views] for i in range(options.views)]
    cameras, photos = scene.cameras.to(device), scene.photos(views)
    seconds: dict[str, list[float]] = {name: [] for name in renderers}
    quality: dict[str, list[float]] = {name: [] for name in renderers}
    for number, view in enumerate(views):
        width, height = scene.cameras.size[view].tolist()
        rays = image_rays(cameras, scene.bounds, view)
        for name, render in renderers.items():
            start = time.perf_counter()
            image = to_8_bit(render(rays).rgb, (width, height))  # waits for the device
            seconds[name].append(time.perf_counter() - start)
            quality[name].append(psnr(image, photos.image(number).numpy()))

    share = len(occupancy) / occupancy.mask.numel()
    title = (
        f"{two_passes.N_samples} + {two_passes.N_importance} samples against "
        f"{options.resolution}^3 cells, {100 * share:.1f} % occupied, a sample each "
        f"{options.step:g} cell; {len(views)} test views"
    )
    print(f"{title}; {device}; cells found in {building:.1f} s")
    for name in renderers:
        print(
            f"{name:10} {statistics.median(seconds[name]):7.3f} s a view   "
            f"PSNR {statistics.mean(quality[name]):.3f} dB"
        )
    pairs = zip(seconds["two passes"], seconds["occupancy"], strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    change = statistics.mean(quality["occupancy"]) - statistics.mean(quality["two passes"])
    print(f"{ratio:.2f} times as fast, {change:+.3f} dB")
    values = [single("finding the cells", building, "s", "speed", 1)]
    for name in renderers:
        mean = statistics.mean(quality[name])
        values.append(median_of(f"{name}, a view", seconds[name], "s", "speed", 3))
        values.append(single(f"{name}, PSNR", mean, "dB", "quality", 3))
    recorder.write(f"a network of two passes, {title}", values)


if __name__ == "__main__":
    run_command(main)
