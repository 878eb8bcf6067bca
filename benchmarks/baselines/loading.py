"""Loading 100 photos of 800x800 RGBA, and rays per second from the loader alone.

    python -m benchmarks.baselines.loading

The photos are noise, which decodes slower and compresses worse than photos do. The way of the
usual implementation, float rays for all pixels, is measured beside ours, in its own process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.record import Recorder, RecordOptions, single
from benchmarks.support.device import peak_megabytes
from cli import parse
from datasets import load_scene
from datasets.config import SceneConfig
from datasets.demo.scene import spiral_poses
from datasets.loaders.ray_loader import RayLoader
from errors import require, run_command


@dataclass(frozen=True)
class Options(RecordOptions):
    """Measure loading."""

    photos: int = 100
    """photos of the scene"""
    size: int = 800
    """their width and height"""
    rays: int = 5_000_000
    """rays that are drawn to measure their speed"""
    way: str = ""
    """measure one way, usual or ours, on --root_dir and print its figures (used by the program
    itself)"""
    root_dir: str = ""
    """the scene of that way"""

    def __post_init__(self) -> None:
        require(min(self.photos, self.size, self.rays) > 0, "--photos, --size, --rays: above 0")


def main() -> None:
    options = parse(Options)
    if options.way:
        way = {"usual": usual, "ours": ours}[options.way]
        print(json.dumps(way(Path(options.root_dir), options.rays)))
        return
    recorder = Recorder(options.record)
    with tempfile.TemporaryDirectory() as folder:
        write_scene(Path(folder), options.photos, options.size)
        results = {}
        for way_name in ("usual", "ours"):
            command = [sys.executable, "-m", "benchmarks.baselines.loading", "--way", way_name]
            command += ["--root_dir", folder, "--rays", str(options.rays)]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            results[way_name] = json.loads(output)
    values = []
    for name, result in results.items():
        speed = result["rays_per_second"] / 1e6
        print(
            f"{name:6} {result['megabytes']:6.0f} MB peak, first batch after "
            f"{result['first']:5.1f} s, then {speed:5.2f} M rays/s"
        )
        values += [
            single(f"{name}, peak", result["megabytes"], "MB", "memory", 0),
            single(f"{name}, to the first batch", result["first"], "s", "speed", 1),
            single(f"{name}, the loader alone", speed, "million rays/s", "speed", 2),
        ]
    ratio = results["usual"]["megabytes"] / results["ours"]["megabytes"]
    print(f"ours takes 1 / {ratio:.1f} of the memory")
    size = options.size
    recorder.write(
        f"loading {options.photos} RGBA photos of {size}x{size}; usual: all rays as floats", values
    )


def write_scene(root: Path, photos: int, size: int) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", photos), ("val", 1), ("test", 1)):
        (root / split).mkdir()
        frames = []
        for i, pose in enumerate(spiral_poses(count, 5.0, 70.0)):
            image = rng.integers(0, 255, (size // 8, size // 8, 4), dtype=np.uint8)
            Image.fromarray(image).resize((size, size)).save(root / split / f"r_{i}.png")
            matrix = np.vstack([np.asarray(pose)[:3], [0, 0, 0, 1]]).tolist()
            frames.append({"file_path": f"{split}/r_{i}", "transform_matrix": matrix})
        content = {"camera_angle_x": 0.69, "frames": frames}
        (root / f"transforms_{split}.json").write_text(json.dumps(content))


def ours(root: Path, count: int) -> dict:
    start = time.perf_counter()
    scene = load_scene(SceneConfig(root_dir=str(root)))
    train = scene.splits["train"]
    loader = RayLoader(scene.photos(train), scene.cameras[train], scene.bounds, 1024)
    batches = iter(loader)
    next(batches)
    first = time.perf_counter() - start
    return {"first": first, **speed((batch.rgbs for batch in batches), count)}


def usual(root: Path, count: int) -> dict:
    """All rays as floats in memory, indexed by a random permutation."""
    start = time.perf_counter()
    scene = load_scene(SceneConfig(root_dir=str(root)))
    rays, rgbs = [], []
    for i in scene.splits["train"]:
        frame = scene.frames[i]
        assert frame is not None
        assert frame.path is not None
        image = torch.from_numpy(np.asarray(Image.open(frame.path), dtype=np.float32) / 255)
        image = image.view(-1, 4)
        rgbs.append(image[:, :3] * image[:, 3:] + 1 - image[:, 3:])
        width, height = scene.cameras.size[i].tolist()
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        index = torch.full((width * height,), i)
        origins, directions = scene.cameras.rays(index, x.reshape(-1), y.reshape(-1))
        ends = torch.tensor([2.0, 6.0]).expand(len(origins), 2)
        rays.append(torch.cat([origins, directions, ends], dim=1))
    all_rays, all_rgbs = torch.cat(rays), torch.cat(rgbs)
    order = iter(torch.randperm(len(all_rays)).split(1024))
    index = next(order)
    batch = all_rays[index], all_rgbs[index]
    first = time.perf_counter() - start
    del batch
    return {"first": first, **speed(((all_rays[i], all_rgbs[i])[1] for i in order), count)}


def speed(batches, at_most: int) -> dict:
    """Rays per second over the batches, as far as so many rays, and the peak of the process."""
    count, start = 0, time.perf_counter()
    for rgbs in batches:
        count += len(rgbs)
        if count > at_most:
            break
    seconds = time.perf_counter() - start
    return {"rays_per_second": count / seconds, "megabytes": peak_megabytes()}


if __name__ == "__main__":
    run_command(main)
