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
from typing import Any

from cli import parse
from datasets import load_scene
from errors import UserError, run_command
from eval import training_options
from evaluation.metrics import psnr
from evaluation.pictures import to_8_bit
from geometry.rays import image_rays
from geometry.region import Region
from models import build_fields, sampler_of
from models.grids.occupancy import estimate_occupancy
from models.rendering.hierarchical import HierarchicalRenderer
from models.rendering.image import ImageRenderer
from models.rendering.occupancy import OccupancyRenderer
from opt import EvalOptions
from training.checkpoints import read_checkpoint
from training.distributed.devices import resolve_device


@dataclass(frozen=True)
class Options:
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
    device = resolve_device(options.accelerator)
    checkpoint = read_checkpoint(Path(options.ckpt_path))
    trained = training_options(
        EvalOptions(ckpt_path=options.ckpt_path, root_dir=options.root_dir), checkpoint
    )
    if trained.N_importance == 0 or sampler_of(trained) != "hierarchical":
        raise UserError(f"{options.ckpt_path}: has no fine network to compare with")
    scene = load_scene(trained)
    fields: list[Any] = []
    for name, field in build_fields(trained, scene).items():
        weights = checkpoint.state_dict.items()
        prefix = f"{name}."
        field.load_state_dict({k.removeprefix(prefix): v for k, v in weights if prefix in k})
        fields.append(field.to(device).eval())

    region = Region((0.0, 0.0, 0.0), (options.half,) * 3)
    start = time.perf_counter()
    occupancy = estimate_occupancy(fields[1], region, options.resolution, device=device)
    building = time.perf_counter() - start
    two_passes = HierarchicalRenderer(
        *(fields[0], fields[1], trained.N_samples, trained.N_importance),
        *(trained.use_disp, scene.background),
    )
    marching = OccupancyRenderer(fields[1], occupancy, scene.background, options.step)
    renderers = {
        name: ImageRenderer(renderer, renderer.rays_at_once(trained.chunk))
        for name, renderer in (("two passes", two_passes), ("occupancy", marching))
    }

    test = scene.splits["test"]
    views = [test[i * len(test) // options.views] for i in range(options.views)]
    cameras, photos = scene.cameras.to(device), scene.photos(views)
    seconds: dict[str, list[float]] = {name: [] for name in renderers}
    quality: dict[str, list[float]] = {name: [] for name in renderers}
    for number, view in enumerate(views):
        size = tuple(scene.cameras.size[view].tolist())
        rays = image_rays(cameras, scene.bounds, view)
        for name, render in renderers.items():
            start = time.perf_counter()
            image = to_8_bit(render(rays).rgb, size)  # waits for the device
            seconds[name].append(time.perf_counter() - start)
            quality[name].append(psnr(image, photos.image(number).numpy()))

    share = len(occupancy) / occupancy.mask.numel()
    print(
        f"{trained.netdepth}x{trained.netwidth}, {trained.N_samples} + {trained.N_importance} "
        f"samples against {options.resolution}^3 cells, {100 * share:.1f} % occupied (found in "
        f"{building:.1f} s), a sample each {options.step:g} cell; {len(views)} test views, {device}"
    )
    for name in renderers:
        print(
            f"{name:10} {statistics.median(seconds[name]):7.3f} s a view   "
            f"PSNR {statistics.mean(quality[name]):.3f} dB"
        )
    pairs = zip(seconds["two passes"], seconds["occupancy"], strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    change = statistics.mean(quality["occupancy"]) - statistics.mean(quality["two passes"])
    print(f"{ratio:.2f} times as fast, {change:+.3f} dB")


if __name__ == "__main__":
    run_command(main)
