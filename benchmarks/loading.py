"""Loading 100 photos of 800x800 RGBA, and rays per second from the loader alone.

    python -m benchmarks.loading

The photos are noise, which decodes slower and compresses worse than photos do. The way of the
usual implementation, float rays for all pixels, is measured beside ours, in its own process.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from datasets import load_scene
from datasets.config import SceneConfig
from datasets.demo.scene import spiral_poses
from datasets.loaders.ray_loader import RayLoader

COUNT, SIZE = 100, 800


def main() -> None:
    if len(sys.argv) == 3:
        print(json.dumps({"usual": usual, "ours": ours}[sys.argv[1]](Path(sys.argv[2]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_scene(Path(folder))
        results = {}
        for way in ("usual", "ours"):
            command = [sys.executable, "-m", "benchmarks.loading", way, folder]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            results[way] = json.loads(output)
    for way, result in results.items():
        print(
            f"{way:6} {result['megabytes']:6.0f} MB peak, first batch after "
            f"{result['first']:5.1f} s, then {result['rays_per_second'] / 1e6:5.2f} M rays/s"
        )
    ratio = results["usual"]["megabytes"] / results["ours"]["megabytes"]
    print(f"ours takes 1 / {ratio:.1f} of the memory")


def write_scene(root: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", COUNT), ("val", 1), ("test", 1)):
        (root / split).mkdir()
        frames = []
        for i, pose in enumerate(spiral_poses(count, 5.0, 70.0)):
            image = rng.integers(0, 255, (SIZE // 8, SIZE // 8, 4), dtype=np.uint8)
            Image.fromarray(image).resize((SIZE, SIZE)).save(root / split / f"r_{i}.png")
            matrix = np.vstack([np.asarray(pose)[:3], [0, 0, 0, 1]]).tolist()
            frames.append({"file_path": f"{split}/r_{i}", "transform_matrix": matrix})
        content = {"camera_angle_x": 0.69, "frames": frames}
        (root / f"transforms_{split}.json").write_text(json.dumps(content))


def ours(root: Path) -> dict:
    start = time.perf_counter()
    scene = load_scene(SceneConfig(root_dir=str(root)))
    train = scene.splits["train"]
    loader = RayLoader(scene.photos(train), scene.cameras[train], scene.bounds, 1024)
    batches = iter(loader)
    next(batches)
    first = time.perf_counter() - start
    return {"first": first, **speed(batch.rgbs for batch in batches)}


def usual(root: Path) -> dict:
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
        y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        index = torch.full((SIZE * SIZE,), i)
        origins, directions = scene.cameras.rays(index, x.reshape(-1), y.reshape(-1))
        ends = torch.tensor([2.0, 6.0]).expand(len(origins), 2)
        rays.append(torch.cat([origins, directions, ends], dim=1))
    all_rays, all_rgbs = torch.cat(rays), torch.cat(rgbs)
    order = iter(torch.randperm(len(all_rays)).split(1024))
    index = next(order)
    batch = all_rays[index], all_rgbs[index]
    first = time.perf_counter() - start
    del batch
    return {"first": first, **speed((all_rays[i], all_rgbs[i])[1] for i in order)}


def speed(batches) -> dict:
    count, start = 0, time.perf_counter()
    for rgbs in batches:
        count += len(rgbs)
        if count > 5_000_000:
            break
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rays_per_second": count / seconds, "megabytes": peak}


if __name__ == "__main__":
    main()
