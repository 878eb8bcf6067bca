"""The paper's training step against the usual implementation: time, memory, and torch.compile.

    python -m benchmarks.baselines.training_step                # fresh weights
    python -m benchmarks.baselines.training_step --ckpt_path X  # the weights of a run

With 64 + 64 and 64 + 128 samples. Each variant is a process of its own (for its peak memory);
they take turns, and ratios are those of the medians. Rays: of the demo scene's cameras.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import reference_nerf as reference
from benchmarks.record import Recorder, RecordOptions, Value, median_of, single
from benchmarks.support.device import peak_megabytes
from cli import parse
from datasets.demo.scene import spiral_poses
from errors import run_command
from geometry.cameras import make_cameras
from geometry.rays import Bounds, cast_rays
from losses import mse_loss
from models.nerf.network import NeRF
from models.rendering.hierarchical import HierarchicalRenderer
from models.rendering.renderer import TrainingMode
from training.checkpoints import read_checkpoint


@dataclass(frozen=True)
class Options(RecordOptions):
    """Measure training steps."""

    ckpt_path: str | None = None
    """a checkpoint of the paper's network, whose weights are trained on"""
    rounds: int = 3
    """turns of each variant"""
    steps: int = 3
    """steps of a turn, after one that is not counted"""
    compile: bool = False
    """measure torch.compile too (compiling takes a minute)"""
    variant: str = ""
    """run one variant and print its figures (used by the program itself)"""
    importance: int = 128
    """fine samples of that variant"""
    rays: int = 1024
    """rays of a step"""


def main() -> None:
    options = parse(Options)
    if options.variant:
        print(json.dumps(measure(options)))
        return
    recorder = Recorder(options.record)
    values: list[Value] = []
    variants = ["reference", "ours"] + (["compiled"] if options.compile else [])
    for importance in (64, 128):
        results: dict[str, list[dict]] = {variant: [] for variant in variants}
        for _ in range(options.rounds):
            for variant in variants:
                results[variant].append(run(options, variant, importance))
        print(
            f"\n{options.rays} rays, 64 + {importance} samples, {torch.get_num_threads()} threads"
        )
        base = {k: median(results["reference"], k) for k in ("seconds", "megabytes")}
        for variant in variants:
            seconds, megabytes = (median(results[variant], k) for k in ("seconds", "megabytes"))
            print(
                f"{variant:10} {seconds:7.2f} s/step  {base['seconds'] / seconds:5.2f} x as fast  "
                f"{megabytes:6.0f} MB peak  {megabytes / base['megabytes']:5.2f} x the memory"
            )
            name = f"64 + {importance} samples, {variant}"
            runs = [result["seconds"] for result in results[variant]]
            values.append(median_of(f"{name}, a step", runs, "s", "speed", 3))
            values.append(single(f"{name}, peak", megabytes, "MB", "memory", 0))
    weights = options.ckpt_path or "fresh weights"
    recorder.write(f"the paper's training step, {options.rays} rays, {weights}", values)


def median(results: list[dict], key: str) -> float:
    return statistics.median(result[key] for result in results)


def run(options: Options, variant: str, importance: int) -> dict:
    command = [sys.executable, "-m", "benchmarks.baselines.training_step", "--variant", variant]
    command += ["--importance", str(importance), "--steps", str(options.steps)]
    command += ["--rays", str(options.rays)]
    command += ["--ckpt_path", options.ckpt_path] if options.ckpt_path else []
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def measure(options: Options) -> dict:
    torch.manual_seed(0)
    fields = [NeRF(), NeRF()]
    if options.ckpt_path:
        checkpoint = read_checkpoint(Path(options.ckpt_path))
        for field, name in zip(fields, ("nerf_coarse", "nerf_fine"), strict=True):
            field.load_state_dict(checkpoint.part(name))
    step = reference_step if options.variant == "reference" else our_step
    take = step(fields, options)
    take()
    times = []
    for _ in range(options.steps):
        start = time.perf_counter()
        take()
        times.append(time.perf_counter() - start)
    return {"seconds": statistics.median(times), "megabytes": peak_megabytes()}


def batch(count: int):
    poses = spiral_poses(16, 5.0, 70.0)
    cameras = make_cameras(poses, [(220.0, 220.0, 80.0, 80.0)] * 16, [(160, 160)] * 16)
    image = torch.randint(16, (count,))
    x, y = torch.randint(160, (2, count))
    return cast_rays(cameras, Bounds(2.0, 6.0), image, x, y), torch.rand(count, 3)


def reference_step(fields, options):
    models = [reference.ReferenceNeRF(), reference.ReferenceNeRF()]
    for model, field in zip(models, fields, strict=True):
        model.load_state_dict(field.state_dict())
    optimizer = torch.optim.Adam([p for m in models for p in m.parameters()], lr=5e-4)

    def take():
        rays, rgbs = batch(options.rays)
        reference.training_step(
            *(models, optimizer, rays.origins, rays.directions, 2.0, 6.0, rgbs),
            *(64, options.importance),
        )

    return take


def our_step(fields, options):
    if options.variant == "compiled":
        for field in fields:
            field.density = torch.compile(field.density)
            field.color = torch.compile(field.color)
    optimizer = torch.optim.Adam([p for f in fields for p in f.parameters()], lr=5e-4)
    renderer = HierarchicalRenderer(fields[0], fields[1], 64, options.importance, background=1.0)
    generator = torch.Generator().manual_seed(0)

    def take():
        rays, rgbs = batch(options.rays)
        loss = mse_loss(renderer.render_train(rays, TrainingMode(generator, noise_std=1.0)), rgbs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return take


if __name__ == "__main__":
    run_command(main)
