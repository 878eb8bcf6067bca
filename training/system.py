"""What callbacks know of the system that is trained (train.NeRFSystem)."""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from jaxtyping import Float, Int
from pytorch_lightning import LightningModule
from torch import Tensor

from datasets.loaders.depth_rays import DepthSupervision
from datasets.loaders.ray_loader import RayLoader
from datasets.loaders.view_loader import ViewLoader
from datasets.photos import Photos
from datasets.scene import Scene
from geometry.cameras import Cameras
from geometry.rays import Rays
from models.appearance.exposure import Appearance
from models.appearance.nearby import NearbyExposure
from models.refinement.cameras import CameraRefinement
from models.rendering.output import RenderOutput
from models.rendering.renderer import Renderer
from models.spec import ModelSpec

from .validation import Validation


class RadianceSystem(Protocol):
    """A scene, the fields that learn it, and what renders them.

    Attributes:
        spec: of the model.
        fields: its modules by name.
        scene: with all its cameras.
        train_photos: of the training views.
        validation: the views that are looked at during training.
        train_rays: the loader of training rays.
        val_rays: the loader of the validation's views.
        depth: supervision by sparse points, where the model takes it and points are known.
        appearance: the training photos' exposures, where there are any.
        refinement: of the training photos' cameras, where it is wanted.
        seed: of everything that is random.
        position: training rays that all processes have seen, over all passes.
    """

    spec: ModelSpec
    fields: dict[str, Any]
    renderer: Renderer
    scene: Scene
    train_photos: Photos
    validation: Validation
    train_rays: RayLoader
    val_rays: ViewLoader
    depth: DepthSupervision | None
    appearance: Appearance | None
    refinement: CameraRefinement | None
    seed: int
    position: int

    @property
    def global_step(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def logger(self) -> Any: ...

    @property
    def exposure(self) -> NearbyExposure | None: ...

    @property
    def train_cameras(self) -> Cameras: ...

    def __call__(self, rays: Rays) -> RenderOutput: ...

    def apply_exposure(
        self, output: RenderOutput, camera_indices: Int[Tensor, "ray"]
    ) -> Float[Tensor, "ray 3"]: ...


def system_of(module: LightningModule) -> RadianceSystem:
    """The system that a callback is given as a LightningModule."""
    return cast(RadianceSystem, module)
