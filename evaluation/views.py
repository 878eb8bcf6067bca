"""Rendered views of a scene."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float16, UInt8

from datasets.scene import Scene
from geometry.cameras import Cameras
from geometry.rays import image_rays
from models.appearance.nearby import NearbyExposure
from models.rendering.depth import surface_distance
from models.rendering.image import ImageRenderer

from .pictures import to_8_bit


@dataclass(frozen=True)
class View:
    """A rendered view.

    Attributes:
        image: as it is saved.
        depth: distance along each pixel's ray in scene units; 0 is background.
        opacity: as in RenderOutput.
        seconds: that it took.
    """

    image: UInt8[np.ndarray, "height width 3"]
    depth: Float[np.ndarray, "height width"]
    opacity: Float16[np.ndarray, "height width"]
    seconds: float


def render_view(
    render: ImageRenderer,
    exposure: NearbyExposure | None,
    scene: Scene,
    cameras: Cameras,
    index: int,
) -> View:
    """Render camera `index` of the scene.

    Args:
        render: of the trained field.
        exposure: of views without a photo, where the training photos had their own.
        cameras: the scene's, on the device that renders.
    """
    start = time.perf_counter()
    output = render.view(cameras, scene.bounds, index)
    if exposure is not None:
        output = exposure(output, scene.cameras.c2w[index], scene.background)
    width, height = scene.cameras.size[index].tolist()
    image = to_8_bit(output.rgb, (width, height))
    depth = surface_distance(output, cameras, scene.bounds, index).cpu().numpy()
    opacity = output.opacity.to(torch.float16).cpu().numpy().reshape(depth.shape)
    return View(image, depth, opacity, time.perf_counter() - start)


@torch.no_grad()
def render_depth(render: ImageRenderer, scene: Scene, cameras: Cameras) -> list[np.ndarray]:
    """Depth alone of any cameras (height, width), as in View; for planning a path.

    Args:
        cameras: in scene units, on the device that renders.
    """
    maps = []
    for index in range(len(cameras)):
        output = render(image_rays(cameras, scene.bounds, index))
        maps.append(surface_distance(output, cameras, scene.bounds, index).cpu().numpy())
    return maps
