"""Held-out views that are looked at during training, or a grid of their pixels."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from datasets.loaders.view_loader import ViewBatch, ViewLoader
from datasets.scene import Scene
from evaluation.pictures import comparison, measure_rays, to_8_bit
from models.rendering.output import RenderOutput

from .distributed.processes import all_gather


class Validation:
    """Some views of the validation split, evenly spread, and what was measured of them.

    Args:
        scene: with its photos.
        count: of views.
        right_half: views are measured on their right halves (--encode_appearance).

    Attributes:
        views: indices into the scene's cameras.
        photos: of these views.
        step: at which the last validation was.
    """

    def __init__(self, scene: Scene, count: int, right_half: bool = False) -> None:
        split = scene.splits["val"]
        self.scene, self.right_half, self.step = scene, right_half, -1
        self.views = list(dict.fromkeys(split[i * len(split) // count] for i in range(count)))
        self.photos = scene.photos(self.views)
        self._rows: list[tuple[int, float, float]] = []  # view, loss, PSNR

    def loader(self, max_rays: int, device: torch.device, rank: int, world_size: int) -> ViewLoader:
        """The views, one a batch, of at most so many rays each; 0 is all."""
        cameras, bounds = self.scene.cameras[self.views], self.scene.bounds
        return ViewLoader(self.photos, cameras, bounds, max_rays, device, rank, world_size)

    def begin(self) -> None:
        """Forget what was measured before."""
        self._rows = []

    def measure(self, number: int, batch: ViewBatch, output: RenderOutput) -> None:
        """Keep the loss and the PSNR of view `number` as it was rendered."""
        measured = measure_rays(output, batch, self.right_half, self.scene.background)
        self._rows.append((number, *measured))

    def means(self, step: int) -> dict[str, float]:
        """Means over the views of all processes, by the names of the log."""
        self.step = step
        rows = sorted(row for part in all_gather(self._rows) for row in part)
        _, losses, psnrs = zip(*rows, strict=True)
        # As train/psnr is defined: of the mean over all pixels, not the mean over views.
        psnr_pixels = -10 * torch.log10(torch.tensor(losses).mean())
        return {
            "val/loss": sum(losses) / len(losses),
            "val/psnr": sum(psnrs) / len(psnrs),
            "val/psnr_pixels": float(psnr_pixels),
        }

    def compare(self, batch: ViewBatch, output: RenderOutput, rgbs: Tensor) -> Any:
        """Ground truth, prediction and depth (3, height, width, 3) of a view."""
        image, photo = (to_8_bit(x, batch.size) for x in (output.rgb, rgbs))
        bounds = self.scene.bounds
        return comparison(photo, image, output, bounds.near, bounds.far)


def log_images(logger: Any, step: int, stack: Any) -> None:
    """Log ground truth, prediction and depth (3, height, width, 3) of a held-out view."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_images("val/GT_pred_depth", stack, step, dataformats="NHWC")
        logger.experiment.flush()
