"""What the training cameras see: depths and colours at a reduced size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from api import Model
from geometry.cameras import Cameras, camera_to_pixel, inverse_transform
from writing.progress import progress_bar


@dataclass(frozen=True)
class DepthView:
    """What one camera sees.

    Attributes:
        camera: a set of one, of the pictures' size.
        depth: distance along each pixel's ray in scene units; infinite where there is nothing.
        rgb: colours in [0, 1].
    """

    camera: Cameras
    depth: Float[Tensor, "height width"]
    rgb: Float[Tensor, "height width 3"]

    def points(self) -> Float[Tensor, "point 3"]:
        """Where the rays end, of pixels that see something."""
        y, x = torch.isfinite(self.depth).nonzero(as_tuple=True)
        origins, directions = self.camera.rays(torch.zeros_like(x), x, y)
        return origins + directions * self.depth[y, x, None]

    def look_up(self, x: Float[Tensor, "point 3"]) -> tuple[Tensor, Tensor, Tensor]:
        """Where points appear.

        Returns:
            uv (point, 2) in pixels, the distance (point) from the camera, and whether (point) the
            point is in the picture.
        """
        c2w = self.camera.c2w[0]
        uv, z = camera_to_pixel(self.camera.intrinsics[0], inverse_transform(c2w, x))
        seen = ((uv >= 0) & (uv < self.camera.size[0])).all(dim=1) & (z > 0)
        return uv, (x - c2w[:, 3]).norm(dim=1), seen


def render_views(model: Model, side: int, most: int) -> list[DepthView]:
    """Views of the training cameras, on the CPU.

    Args:
        side: the longer side of the pictures in pixels, at most.
        most: so many cameras, evenly spread over all.
    """
    train = model.scene.splits["train"]
    count = min(most, len(train))
    views = []
    chosen = [train[i * len(train) // count] for i in range(count)]
    for index in progress_bar(chosen, desc="depths", unit="view"):
        camera = model.scene.cameras[index]
        width, height = camera.size[0].tolist()
        factor = min(1.0, side / max(width, height))
        camera = camera.resized(max(2, round(width * factor)), max(2, round(height * factor)))
        with torch.no_grad():
            image = model.render(camera)
        depth = torch.where(image.depth > 0, image.depth, torch.inf)
        views.append(DepthView(camera, depth.cpu(), image.rgb.clamp(0, 1).cpu()))
    return views
