"""One progress bar for the whole training: PSNR, rays per second, time left."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar

from training.callbacks.clock import TrainingClock
from writing.progress import progress_bar


class TrainingProgress(ProgressBar):
    """Counts steps; seconds or rays where those end the training."""

    def __init__(self, clock: TrainingClock) -> None:
        super().__init__()
        self.clock = clock
        self._bar: Any = None
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value, total, unit = self._count(trainer)
        count = "{n:.0f}/{total:.0f} " + unit
        self._bar = progress_bar(
            total=total,
            initial=value if total is None else min(value, total),  # a run that is over goes beyond
            bar_format="{desc} {percentage:3.0f}%|{bar}| " + count + " [left {remaining}{postfix}]",
            desc="training",
            disable=not self._enabled,
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        if self._bar is None or self._bar.disable:
            return
        value, _, _ = self._count(trainer)
        if trainer.global_step % 10 == 0 or self.clock.rays_per_second < 10_000:
            metrics = trainer.callback_metrics
            shown = {"rays/s": f"{self.clock.rays_per_second:.0f}"}
            for name, label in (("train/psnr", "psnr"), ("val/psnr", "val")):
                if name in metrics:
                    shown[label] = f"{float(metrics[name]):.2f}"
            self._bar.set_postfix(shown, refresh=False)
        self._bar.update(min(value, self._bar.total) - self._bar.n)  # it forgets a total passed

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _count(self, trainer: Trainer) -> tuple[float, float, str]:
        """What is done, of how many, and of what."""
        clock = self.clock
        if clock.max_time is not None:
            return clock.seconds, clock.max_time, "s"
        if clock.max_rays is not None:  # the steps of a field that grows are not known before
            return clock.rays, clock.max_rays, "rays"
        return trainer.global_step, trainer.estimated_stepping_batches, "step"

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
