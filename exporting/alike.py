"""How alike the pictures of two models of one scene are."""

from __future__ import annotations

import torch
from torch import Tensor

from datasets.scene import Scene
from evaluation.metrics import psnr
from evaluation.pictures import to_8_bit
from geometry.rays import image_rays
from models.rendering.image import ImageRenderer

# Views that are compared, held-out ones where there are any.
_COMPARED = 3


def psnr_between(
    scene: Scene, device: torch.device, first: ImageRenderer, second: ImageRenderer, side: int
) -> float:
    """PSNR in dB of 8-bit pictures of both, over all of them together; infinite where equal.

    Args:
        side: pixels along the longer side of a picture.
    """
    views = scene.splits.get("test") or scene.splits.get("val") or scene.splits["train"]
    chosen = [views[i * len(views) // _COMPARED] for i in range(min(_COMPARED, len(views)))]
    pictures: list[list[Tensor]] = [[], []]
    for index in chosen:
        width, height = scene.cameras.size[index].tolist()
        factor = min(1.0, side / max(width, height))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        camera = scene.cameras[index].resized(*size)
        rays = image_rays(camera.to(device), scene.bounds, 0)
        for render, those in zip((first, second), pictures, strict=True):
            those.append(render(rays).rgb)
    shown, own = (torch.cat(those) for those in pictures)
    return psnr(to_8_bit(shown, (len(own), 1)), to_8_bit(own, (len(own), 1)))
