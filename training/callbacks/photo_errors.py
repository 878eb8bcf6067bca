"""How well each training photo is reproduced, from the errors of the training steps themselves."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from datasets.loaders.ray_loader import RayBatch
from training.distributed.processes import all_gather
from training.system import system_of

_MEMORY = 0.998  # what a step leaves of the sums before it: the last 500 steps count


class PhotoErrors(Callback):
    """Keeps a fading mean of the squared error of each photo's rays.

    Attributes:
        psnr: of each photo in dB, once the training has ended; None where no ray was seen.
    """

    def __init__(self) -> None:
        self.psnr: list[float | None] = []
        self._sums: Tensor | None = None  # (2, photo): squared errors, and rays

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: RayBatch,
        batch_idx: int,
    ) -> None:
        photo = batch.rays.camera_indices
        error = (outputs["rgb"] - outputs["target"]).float().square().mean(dim=-1)
        if self._sums is None:
            count = len(system_of(pl_module).scene.splits["train"])
            self._sums = torch.zeros(2, count, device=error.device)
        self._sums.mul_(_MEMORY)
        self._sums[0].index_add_(0, photo, error)
        self._sums[1].index_add_(0, photo, torch.ones_like(error))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._sums is None:
            return
        errors, rays = torch.stack(all_gather(self._sums.cpu())).sum(dim=0)
        self.psnr = [
            float(-10 * torch.log10((error / count).clamp_min(1e-10))) if count > 0 else None
            for error, count in zip(errors, rays, strict=True)
        ]
