"""The page of export.py --web beside the field's own pictures, in a browser without a GPU.

    python -m benchmarks.exports.web_page --ckpt_path ckpts/exp/last.ckpt

Test cameras, with small pictures: software WebGL is slow. Where the photos are at hand, the page's
pictures and the field's are measured against them as well.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from api import Model, load
from benchmarks.record import Recorder, RecordOptions, median_of, single
from benchmarks.support.browser import OpenPage, open_browser
from cli import parse
from datasets import load_scene
from datasets.scene import Scene
from errors import UserError, require_positive, run_command
from evaluation.metrics import psnr
from evaluation.views import render_view
from exporting.web.page import export_page
from writing.files import write_png


@dataclass(frozen=True)
class Options(RecordOptions):
    """Measure a page against its field."""

    ckpt_path: str
    """a checkpoint of train.py"""
    web: str | None = None
    """a page of it that is there already; by default one is made"""
    root_dir: str | None = None
    """folder of the scene's photos, where it has moved"""
    web_mb: float = 25.0
    """megabytes of the page that is made"""
    bake_seconds: float = 600.0
    """seconds to make voxels of another model"""
    views: int = 4
    """test cameras, evenly spread"""
    side: int = 130
    """longer side of the pictures, in pixels"""
    out_dir: str | None = None
    """folder for the pictures: the page's, the field's, and four times their difference"""
    accelerator: str = "auto"
    """auto, cpu, gpu or mps"""

    def __post_init__(self) -> None:
        for name in ("views", "side", "web_mb", "bake_seconds"):
            require_positive(self, name)


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    model = load(options.ckpt_path, options.accelerator)
    scene = _with_photos(model, options)
    test = scene.splits.get("test") or scene.splits["train"]
    count = min(options.views, len(test))
    indices = [test[i * len(test) // count] for i in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(options.web or f"{folder}/page.html")
        if options.web is None:
            export_page(path, model, options.web_mb, options.bake_seconds)
        megabytes = path.stat().st_size / 1e6
        with open_browser() as browser:
            start = time.perf_counter()
            page = OpenPage(browser, path).wait()
            seconds = time.perf_counter() - start
            page.rest()
            alike, lost = _compare(page, model, scene, indices, options)
    print(f"{megabytes:.1f} MB, open after {seconds:.1f} s; at least {min(alike):.1f} dB alike")
    for line in page.said:
        print(f"the page said: {line}")
    values = [
        single("the page", megabytes, "MB", "memory", 1),
        single("agreement with the field's pictures, at least", min(alike), "dB", "quality", 1),
    ]
    if lost:
        print(f"lost against the photos: {statistics.fmean(lost):.2f} dB")
        values.append(median_of("lost against the photos", lost, "dB", "quality"))
    title = f"the page of {scene.name}, {len(indices)} test cameras of {options.side} pixels"
    recorder.write(title, values)


def _with_photos(model: Model, options: Options) -> Scene:
    """The scene, with its photos where they are at hand."""
    trained = model.options
    try:
        files = load_scene(replace(trained, root_dir=options.root_dir or trained.root_dir))
    except UserError as error:
        print(f"without photos: {error}")
        return model.scene
    return replace(model.scene, frames=files.frames)


def _compare(
    page: OpenPage, model: Model, scene: Scene, indices: list[int], options: Options
) -> tuple[list[float], list[float]]:
    """PSNR against the field's pictures, and what is lost against the photos, view by view."""
    alike, lost = [], []
    for index in indices:
        width, height = scene.cameras.size[index].tolist()
        factor = min(1.0, options.side / max(width, height))
        small = scene.resized((round(width * factor), round(height * factor)))
        cameras = small.cameras.to(model.device)
        own = render_view(model.renderer, model.exposure, small, cameras, index).image
        shown = page.render(small.cameras[index], scene.to_input)[..., :3]
        alike.append(psnr(shown, own))
        text = f"camera {index}: {alike[-1]:.2f} dB alike"
        if scene.frames[index] is not None:
            photo = small.photos([index]).image(0).numpy()
            before, after = psnr(own, photo), psnr(shown, photo)
            lost.append(before - after)
            text += f"; against the photo {before:.2f} dB, the page {after:.2f} dB"
        print(text)
        if options.out_dir is not None:
            apart = np.abs(shown.astype(int) - own) * 4
            sheet = np.concatenate([shown, own, apart.clip(0, 255).astype(np.uint8)], axis=1)
            write_png(Path(options.out_dir) / f"{index:03d}.png", sheet)
    return alike, lost


if __name__ == "__main__":
    run_command(main)
