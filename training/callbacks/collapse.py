"""Notices a training that has collapsed, while it is early."""

from __future__ import annotations

from collections import deque
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from datasets.loaders.ray_loader import RayBatch
from training.distributed.processes import broadcast_from_rank0

_EVERY = 5  # steps between looks: a look waits for the device
_CONSTANT_FROM, _STUCK_FROM = 200, 1000  # steps; a healthy start is still flat before them
_WINDOW = 20  # looks that must agree


class CollapseGuard(Callback):
    """Stops the trainer when the network puts out one colour, or does not get better.

    When all densities fall to zero early on, no gradient is left to raise them again, and the
    run shows background for ever. `reason` says what was seen; None while all is well.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._spreads: deque[float] = deque(maxlen=_WINDOW)
        self._gains: deque[float] = deque(maxlen=_WINDOW)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: RayBatch,
        batch_idx: int,
    ) -> None:
        step = trainer.global_step
        if self.reason or step % _EVERY or step > _STUCK_FROM + _EVERY * _WINDOW:
            return
        # All processes have the same network: one's rays tell, and all must stop together.
        self.reason = broadcast_from_rank0(self._look(step, outputs, batch))
        if self.reason:
            trainer.should_stop = True

    def _look(self, step: int, outputs: Any, batch: RayBatch) -> str | None:
        """What is wrong, if anything."""
        rgb: Tensor = outputs["rgb"]
        shown: Tensor = outputs["target"]
        if len(rgb) < 2 or float(shown.std(dim=0).max()) < 0.02:
            return None  # the photos themselves show one colour here
        # Of the field alone: gains per photo would spread even a single colour.
        self._spreads.append(float(outputs["field_rgb"].float().std(dim=0).max()))
        # Against the best single colour: its error is the variance of the photos' colours.
        variance = shown.var(dim=0, unbiased=False).mean()
        self._gains.append(float(variance / (rgb - shown).square().mean().clamp_min(1e-12)))
        if len(self._spreads) < _WINDOW:
            return None
        if step >= _CONSTANT_FROM and max(self._spreads) < 0.01:
            return f"after {step} steps the output is one colour for all pixels"
        if step >= _STUCK_FROM and sum(self._gains) / _WINDOW < 1.02:
            return f"after {step} steps PSNR is still that of a single colour"
        return None
