"""Quick pictures of a field against the full march of all their pixels' rays.

    python -m benchmarks.pictures --ckpt_path ckpts/exp/last.ckpt

The two take turns on each frame of the flight, in one process. Agreement is that of the 8-bit
images; depths are compared where both see a surface.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from api import load
from benchmarks.record import Recorder, RecordOptions, median_of, single
from cli import parse
from errors import require_positive, run_command
from evaluation.flight import film_scene
from evaluation.metrics import psnr
from evaluation.views import render_view
from models.rendering.image import ImageRenderer
from models.spec import SceneInfo
from paths.path import PathConfig
from paths.plan import plan_path
from writing.progress import progress_bar


@dataclass(frozen=True)
class Options(RecordOptions):
    """Measure quick pictures."""

    ckpt_path: str
    """a checkpoint of train.py"""
    path: str | None = None
    """the flight's kind, as for eval.py"""
    img_wh: tuple[int, int] | None = None
    """size of the pictures; by default that of the photos"""
    views: int = 4
    """frames of the flight, evenly spread"""
    rounds: int = 3
    """pictures of each frame by each way; the median counts"""
    accelerator: str = "auto"
    """auto, cpu, gpu or mps"""

    def __post_init__(self) -> None:
        for name in ("views", "rounds"):
            require_positive(self, name)


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    model = load(options.ckpt_path, options.accelerator)
    scene = model.scene
    assert scene.region is not None
    info = SceneInfo(scene.region, scene.background, scene.foreground_only)
    recipe = getattr(model.fields["nerf_coarse"], "recipe", None)
    full = model.spec.build_renderer(model.fields, model.options.config, info, recipe)
    ways = {"full": ImageRenderer(full, full.rays_per_chunk), "quick": model.renderer}

    film = film_scene(scene, plan_path(scene, PathConfig(options.path)), options.img_wh)
    count = len(film.cameras)
    frames = [i * count // options.views for i in range(options.views)]
    cameras = film.cameras.to(model.device)
    start = time.perf_counter()
    render_view(model.renderer, None, film, cameras, frames[0])
    first = time.perf_counter() - start

    seconds: dict[str, list[float]] = {name: [] for name in ways}
    agreement, depth_errors = [], []
    for frame in progress_bar(frames, desc="frames"):
        views = {}
        own: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, render in ways.items():
                view = render_view(render, None, film, cameras, frame)
                own[name].append(view.seconds)
                views[name] = view
        for name in ways:
            seconds[name].append(statistics.median(own[name]))
        agreement.append(psnr(views["quick"].image, views["full"].image))
        near, far = views["quick"].depth, views["full"].depth
        both = (near > 0) & (far > 0)
        depth_errors.append(float(np.abs(near[both] / far[both] - 1).mean()) if both.any() else 0.0)

    width, height = film.cameras.size[0].tolist()
    ratio = statistics.median(a / b for a, b in zip(seconds["full"], seconds["quick"], strict=True))
    for name in ways:
        print(f"{name:6} {statistics.median(seconds[name]):7.3f} s a picture")
    print(
        f"{ratio:.2f} times as fast; at least {min(agreement):.1f} dB alike, depth off by "
        f"{100 * max(depth_errors):.2f} %; the first took {first:.2f} s"
    )
    recorder.write(
        f"quick pictures of {scene.name}, {width}x{height}, {len(frames)} frames of its flight",
        [
            median_of("the full march, a picture", seconds["full"], "s", "speed", 3),
            median_of("quick, a picture", seconds["quick"], "s", "speed", 3),
            single("times as fast", ratio, "", "speed", 2),
            single("the first quick picture", first, "s", "start-up", 2),
            single("agreement, at least", min(agreement), "dB", "quality", 1),
        ],
    )


if __name__ == "__main__":
    run_command(main)
