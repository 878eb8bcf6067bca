"""A page that shows a scene while it is trained: pictures between the steps, for a share of time.

All is rendered by the training's own thread, so that a training with a page has the same weights
as one without.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from api import Image
from datasets.scene import Scene
from geometry.cameras import Cameras
from geometry.crop import CropBox
from geometry.rays import image_rays
from models.rendering.depth import surface_distance
from training.callbacks.clock import LOG_EVERY, TrainingClock
from training.system import RadianceSystem, system_of

from .boxes import bounds_from
from .page import Page
from .panels.training import Curve
from .shown import Photos

# Of the time, for pictures; and the longer side of a still one, to begin with.
_SHARE, _SIZE = 0.1, 256
_CURVE_EVERY = 2.0  # seconds


class SceneInTraining:
    """What a training has learned so far."""

    def __init__(self, system: RadianceSystem) -> None:
        self.system, self.photos, self.saved_crop = system, Photos(system.scene), None

    @property
    def version(self) -> int:
        return self.system.global_step

    @property
    def scene(self) -> Scene:
        return self.system.scene

    def render(self, camera: Cameras, crop: CropBox | None) -> Image:
        """What a camera sees; nothing is cropped while the scene is trained."""
        system, bounds = self.system, bounds_from(self.scene, camera.c2w[0, :, 3])
        camera = camera.to(system.device)
        with torch.no_grad():
            output = system(image_rays(camera, bounds, 0))
            if system.exposure is not None:
                output = system.exposure(output, camera.c2w[0], system.scene.background)
        width, height = camera.size[0].tolist()
        return Image(
            output.rgb.view(height, width, 3),
            surface_distance(output, camera, bounds, 0),
            output.opacity.view(height, width),
        )


class LivePage(Callback):
    """Serves the page, and renders between training steps while somebody looks.

    Args:
        clock: stands still meanwhile, so that --max_time is time of training.
        host, port: as for Page.
    """

    def __init__(self, clock: TrainingClock, host: str = "127.0.0.1", port: int = 8080) -> None:
        self.clock, self.host, self.port = clock, host, port
        self.page: Page | None = None
        self.curves = Curve(), Curve()  # of training, of validations
        self.seconds = 0.0  # that pictures took
        self._next = self._next_curve = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self.page = Page(SceneInTraining(system_of(pl_module)), self.host, self.port, _SIZE)
        print(f"http://{self.host}:{self.page.port} shows the training", flush=True)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if self.page is None:
            return
        if trainer.global_step % LOG_EVERY == 0:
            self._log(trainer, self.curves[0], "train/psnr")
        now = time.perf_counter()
        if not self.page.visitors or now < self._next:
            return
        with self.clock.paused():
            if not self.page.loop.step():
                self.page.loop.again()
                self.page.loop.step()
            if now >= self._next_curve:
                self._show_curve(trainer)
                self._next_curve = now + _CURVE_EVERY
        took = time.perf_counter() - now
        self.seconds += took
        # So long for training that pictures have no more than their share.
        self._next = now + took / _SHARE

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._log(trainer, self.curves[1], "val/psnr")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _log(self, trainer: Trainer, curve: Curve, name: str) -> None:
        if name in trainer.callback_metrics:
            curve.add(trainer.global_step, float(trainer.callback_metrics[name]))

    def _show_curve(self, trainer: Trainer) -> None:
        assert self.page is not None
        text = f"step {trainer.global_step}, {self.clock.seconds:.0f} s"
        for panel in list(self.page.curves.values()):
            panel.show(self.curves, text)

    def _close(self) -> None:
        if self.page is not None:
            self.page.stop()
            self.page = None
            if self.seconds:
                print(f"pictures for the page took {self.seconds:.1f} s")
