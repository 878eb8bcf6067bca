"""fit_image.py against a plain PyTorch loop of the same network.

    python -m benchmarks.baselines.fit_image --image photo.jpg

Three loops take turns for some rounds, so that a busy machine slows all of them alike:
textbook (the loop that a class hands in), bare (our network, sampler and optimizer without
Lightning), ours (the same in Lightning's Trainer). With --to_psnr, the plain loop runs to its end
and the feature grid until it is as good.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.record import Recorder, RecordOptions, Value, single
from cli import parse
from errors import run_command
from evaluation.metrics import psnr
from learn.image2d.fit import make_trainer
from learn.image2d.options import FitOptions
from learn.image2d.photo import read_image
from learn.image2d.recorder import Recorder as FitRecorder
from learn.image2d.system import ImageSystem
from models.embedding import Embedding


@dataclass(frozen=True)
class Options(RecordOptions):
    """Time the 2D fit."""

    image: str
    """the photo; 512 x 768 pixels is the size that we quote"""
    steps: int = 30
    """steps of a round"""
    rounds: int = 3
    """rounds"""
    to_psnr: bool = False
    """also run the textbook loop to the end, and the grid until it is as good"""
    iterations: int = 3000
    """steps of the textbook loop with --to_psnr"""


def textbook(image: Tensor, fit: FitOptions) -> tuple[float, nn.Module]:
    """The plain loop; returns its seconds and the network."""
    torch.manual_seed(fit.seed)
    height, width = image.shape[:2]
    embedding = Embedding(2, fit.L)
    layers: list[nn.Module] = []
    channels = embedding.out_channels
    for _ in range(fit.num_layers):
        layers += [nn.Linear(channels, fit.width), nn.ReLU()]
        channels = fit.width
    network = nn.Sequential(embedding, *layers, nn.Linear(channels, 3), nn.Sigmoid())
    optimizer = torch.optim.Adam(network.parameters(), lr=fit.lr)
    pixels = image.float() / 255
    size = torch.tensor([width, height])
    start = time.perf_counter()
    for _ in range(fit.iterations):
        x = torch.randint(width, (fit.batch_size,))
        y = torch.randint(height, (fit.batch_size,))
        loss = F.mse_loss(network((torch.stack([x, y], -1) + 0.5) / size), pixels[y, x])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start, network


def bare(image: Tensor, fit: FitOptions) -> float:
    """Our parts without Lightning."""
    system = ImageSystem(fit, image)
    optimizer = system.configure_optimizers()
    start = time.perf_counter()
    for _, batch in zip(range(fit.iterations), system.train_dataloader(), strict=False):
        optimizer.zero_grad()
        F.mse_loss(system(batch.xy), batch.rgb).backward()
        optimizer.step()
    return time.perf_counter() - start


def ours(image: Tensor, fit: FitOptions) -> tuple[float, ImageSystem]:
    """As fit_image.py trains, without its pictures and logs."""
    torch.manual_seed(fit.seed)
    system = ImageSystem(fit, image)
    recorder = _Clock(fit.iterations)
    make_trainer(fit.iterations, "cpu", False, [recorder]).fit(system)
    return recorder.seconds, system


class _Clock(FitRecorder):
    def __init__(self, iterations: int) -> None:
        super().__init__(iterations, (), 0)
        self.snapshot_at = set()


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    image = read_image(Path(options.image))
    height, width = image.shape[:2]
    print(
        f"{width} x {height} pixels, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    fit = FitOptions(image=options.image, iterations=options.steps)
    names = ("textbook", "bare", "ours")
    best = dict.fromkeys(names, float("inf"))
    for _ in range(options.rounds):
        for name, seconds in zip(
            names, (textbook(image, fit)[0], bare(image, fit), ours(image, fit)[0]), strict=True
        ):
            best[name] = min(best[name], 1000 * seconds / options.steps)
    for name in names:
        print(f"{name:>9}: {best[name]:7.2f} ms a step")
    values = [single(f"{name}, a step", best[name], "ms", "speed", 2) for name in names]
    print(f"ours / textbook {best['ours'] / best['textbook']:.3f}, ", end="")
    print(f"Lightning's overhead {100 * (best['ours'] / best['bare'] - 1):.1f} %")
    if options.to_psnr:
        values += compare_grid(image, replace(fit, iterations=options.iterations))
    title = f"a network fitted to a photo of {width}x{height} pixels, best of {options.rounds}"
    recorder.write(title, values, seeds=[fit.seed])


def compare_grid(image: Tensor, fit: FitOptions) -> list[Value]:
    """Seconds of the textbook loop, and of the grid to the same PSNR."""
    photo = image.numpy()
    height, width = photo.shape[:2]
    seconds, network = textbook(image, fit)
    rgb = ImageSystem(fit, image)
    rgb.network = network
    target = psnr(rgb.paint(width, height).numpy(), photo)
    print(f"textbook, {fit.iterations} steps: {target:.2f} dB in {seconds:.1f} s")
    values = [
        single(f"textbook, PSNR after {fit.iterations} steps", target, "dB", "quality", 2),
        single(f"textbook, {fit.iterations} steps", seconds, "s", "speed", 1),
    ]
    for iterations in (25, 50, 100, 200, 400, 800, 1600):
        took, system = ours(image, replace(fit, model="grid", iterations=iterations))
        reached = psnr(system.paint(width, height).numpy(), photo)
        print(f"grid, {iterations} steps: {reached:.2f} dB in {took:.1f} s")
        if reached >= target:
            print(f"the grid is as good in {100 * took / seconds:.1f} % of the time")
            values.append(single("feature grid, to that PSNR", took, "s", "speed", 1))
            break
    return values


if __name__ == "__main__":
    run_command(main)
