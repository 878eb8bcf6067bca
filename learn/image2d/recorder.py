"""What is kept while an image forms: snapshots with their PSNR, and small frames for a GIF."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from pytorch_lightning import Callback, LightningModule, Trainer

from evaluation.metrics import psnr
from learn.figures.caption import with_caption
from learn.image2d.system import ImageSystem

# The longer side of the GIF's frames: one costs no more than a step of training.
_GIF_SIZE = 320


@dataclass(frozen=True)
class Snapshot:
    """The reconstruction after so many iterations."""

    iteration: int
    image: UInt8[np.ndarray, "height width 3"]
    psnr: float


class Recorder(Callback):
    """Paints the image at chosen iterations, on a clock of its own.

    Args:
        iterations: the last step.
        snapshots: iterations that are kept whole; the last always is.
        gif_frames: frames of the GIF, closer together at the start, where the image changes most.
    """

    def __init__(self, iterations: int, snapshots: tuple[int, ...], gif_frames: int) -> None:
        self.iterations = iterations
        self.snapshot_at = {step for step in snapshots if step < iterations} | {iterations}
        self.frame_at: set[int] = set()
        if gif_frames:
            steps = np.geomspace(1, iterations + 1, gif_frames) - 1
            self.frame_at = {*np.round(steps).astype(int).tolist(), iterations}
        self.snapshots: list[Snapshot] = []
        self.frames: list[UInt8[np.ndarray, "height width 3"]] = []
        self.seconds = 0.0  # of training alone
        self._started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()
        self._look(pl_module, 0)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.global_step in self.snapshot_at | self.frame_at:
            self._look(pl_module, trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop_clock(pl_module)

    def _stop_clock(self, system: LightningModule) -> None:
        if system.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - self._started

    def _look(self, system: LightningModule, step: int) -> None:
        self._stop_clock(system)
        assert isinstance(system, ImageSystem)
        height, width = system.image.shape[:2]
        if step in self.snapshot_at:
            image = system.paint(width, height).numpy()
            quality = psnr(image, system.image.cpu().numpy())
            self.snapshots.append(Snapshot(step, image, quality))
            system.logger.experiment.add_scalar("val/psnr", quality, step)  # type: ignore[union-attr]
            system.logger.experiment.add_image(  # type: ignore[union-attr]
                "val/image", image, step, dataformats="HWC"
            )
            left = ""
            if 0 < step < self.iterations:
                left = f", about {self.seconds * (self.iterations / step - 1):.0f} s left"
            print(
                f"iteration {step:>5}: PSNR {quality:.2f} dB, {self.seconds:.1f} s of training"
                + left,
                flush=True,
            )
        if step in self.frame_at:
            factor = min(1.0, _GIF_SIZE / max(width, height))
            small = system.paint(max(1, round(width * factor)), max(1, round(height * factor)))
            self.frames.append(with_caption(small.numpy(), f"iteration {step}"))
        self._started = time.perf_counter()
