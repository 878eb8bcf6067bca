"""What callbacks know of the system that is trained (train.NeRFSystem)."""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from jaxtyping import Float, Int
from pytorch_lightning import LightningModule
from torch import Tensor

from datasets.loaders.ray_loader import RayLoader
from datasets.photos import Photos
from datasets.scene import Scene
from geometry.rays import Rays
from models.appearance.exposure import Appearance
from models.rendering.output import RenderOutput
from models.rendering.renderer import Renderer
from models.spec import ModelSpec


class RadianceSystem(Protocol):
    """A scene, the fields that learn it, and what renders them.

    Attributes:
        spec: of the model.
        fields: its modules by name.
        scene: with all its cameras.
        train_photos, val_photos: of the training views, and of `val_views`, whose indices into the
            scene's cameras are looked at during training.
        train_rays: the loader of training rays.
        appearance: the training photos' exposures, where there are any.
        seed: of everything that is random.
    """

    spec: ModelSpec
    fields: dict[str, Any]
    renderer: Renderer
    scene: Scene
    train_photos: Photos
    val_photos: Photos
    val_views: list[int]
    train_rays: RayLoader
    appearance: Appearance | None
    seed: int

    @property
    def device(self) -> torch.device: ...

    @property
    def logger(self) -> Any: ...

    def __call__(self, rays: Rays) -> RenderOutput: ...

    def apply_exposure(
        self, output: RenderOutput, camera_indices: Int[Tensor, "ray"]
    ) -> Float[Tensor, "ray 3"]: ...


def system_of(module: LightningModule) -> RadianceSystem:
    """The system that a callback is given as a LightningModule."""
    return cast(RadianceSystem, module)
