"""A held-out view as it forms: its reconstruction at chosen steps, and GIFs at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from evaluation.pictures import to_8_bit
from geometry.rays import Bounds, image_rays
from models.rendering.output import RenderOutput
from training.callbacks.clock import TrainingClock
from training.callbacks.keep_last import KeepLast
from training.callbacks.record import log_folder
from training.system import RadianceSystem, system_of
from writing.files import write_png
from writing.video import write_gif

FOLDER, PHOTO, VIEWS_GIF, DEPTH_GIF = (
    "snapshots",
    "photo.png",
    "novel_views.gif",
    "depth_ramp.gif",
)
_FPS = 12


def snapshot_name(step: int) -> str:
    return f"step_{step:06d}.png"


def ramp_depth(output: RenderOutput, bounds: Bounds) -> Float[Tensor, "ray"]:
    """The weights applied to a ramp from 1 at `near` to 0 at `far`: nearer is lighter.

    sum_i w_i (far - t_i) / (far - near), from the sums of w_i and of w_i t_i.
    """
    return (bounds.far * output.opacity - output.depth) / (bounds.far - bounds.near)


class Snapshots(Callback):
    """Renders the first validation view at chosen steps; at the end, two GIFs.

    The GIFs fly along the test cameras: what they see, and its depth.

    Args:
        steps: after which a snapshot is taken; one is always taken at the end.
        clock: stands still meanwhile.
        keep_last: tells whether somebody waits for the end of an interrupted run.
    """

    def __init__(self, steps: tuple[int, ...], clock: TrainingClock, keep_last: KeepLast) -> None:
        self.steps, self.clock, self.keep_last = set(steps), clock, keep_last

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._look(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = log_folder(trainer)
        if folder is None or self.keep_last.interrupted:
            return
        system = system_of(pl_module)
        self.steps.add(trainer.global_step)
        self._look(trainer, pl_module)
        write_png(folder / FOLDER / PHOTO, system.validation.photos.image(0).numpy())
        views, depths = [], []
        for index in system.scene.splits["test"] or system.scene.splits["val"]:
            image, output, size = _render(system, index)
            ramp = ramp_depth(output, system.scene.bounds)
            views.append(image)
            depths.append(to_8_bit(ramp[:, None].expand(-1, 3), size))
        write_gif(folder / VIEWS_GIF, views, _FPS)
        write_gif(folder / DEPTH_GIF, depths, _FPS)
        print(f"snapshots, novel views and depth: {folder}/")
        alike = _whole_views(system)
        system.logger.experiment.add_scalar("train/psnr_whole_views", alike, trainer.global_step)
        print(
            f"PSNR of whole training views, rendered and measured as in validation: {alike:.2f} dB"
        )

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> None:
        step = trainer.global_step
        folder = log_folder(trainer)
        if step not in self.steps or folder is None:
            return
        system = system_of(pl_module)
        with self.clock.paused():
            image, _, _ = _render(system, system.validation.views[0])
            write_png(folder / FOLDER / snapshot_name(step), image)


@torch.no_grad()
def _whole_views(system: RadianceSystem) -> float:
    """PSNR over the pixels of as many training views as validation takes, defined as its own.

    A training batch's PSNR is of randomly shifted samples, of which no photo is rendered.
    """
    train = system.scene.splits["train"]
    count = min(len(train), len(system.validation.views))
    errors = []
    for number in (i * len(train) // count for i in range(count)):
        _, output, _ = _render(system, train[number])
        photo = system.train_photos.image(number).reshape(-1, 3).to(output.rgb.device)
        image = torch.full_like(output.opacity, number, dtype=torch.long)
        rgb = system.apply_exposure(output, image)
        errors.append((rgb - photo.float() / 255).square().mean())
    return float(-10 * torch.log10(torch.stack(errors).mean()))


@torch.no_grad()
def _render(
    system: RadianceSystem, index: int
) -> tuple[UInt8[np.ndarray, "height width 3"], RenderOutput, tuple[int, int]]:
    """Camera `index` of the scene: the image, what it was made of, and its size."""
    width, height = system.scene.cameras.size[index].tolist()
    rays = image_rays(system.scene.cameras.to(system.device), system.scene.bounds, index)
    output = system(rays)
    return to_8_bit(output.rgb, (width, height)), output, (width, height)
