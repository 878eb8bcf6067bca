"""Points of a sparse model and the cameras that saw them: between the two there is nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .cameras import Cameras
from .rays import Bounds, Rays

# How much of the way to a point is surely free: points lie a little before or behind what they
# are of, the farther away the more.
_FREE = 0.97


@dataclass(frozen=True)
class Sightings:
    """Which camera saw which point.

    Attributes:
        camera: number of the camera.
        point: in scene units.
    """

    camera: Int[Tensor, "sighting"]
    point: Float[Tensor, "sighting 3"]

    def __len__(self) -> int:
        return len(self.camera)

    def of(self, cameras: list[int]) -> Sightings:
        """Those of some cameras alone, which are numbered anew."""
        number = torch.full((max([*cameras, int(self.camera.max()), 0]) + 1,), -1)
        number[torch.tensor(cameras)] = torch.arange(len(cameras))
        kept = number[self.camera] >= 0
        return Sightings(number[self.camera[kept]], self.point[kept])


@dataclass(frozen=True)
class FreeSpace:
    """Draws rays from cameras towards points that they saw, and where these stop.

    Args:
        sightings, cameras: of the training photos.
        bounds: of the scene's rays.
    """

    sightings: Sightings
    cameras: Cameras
    bounds: Bounds

    def __call__(self, count: int, generator: torch.Generator) -> tuple[Rays, Tensor]:
        """Random rays, and the parameter (ray,) of each before which there is nothing."""
        device = generator.device
        chosen = torch.randint(len(self.sightings), (count,), generator=generator, device=device)
        chosen = chosen.to(self.sightings.camera.device)
        camera, point = self.sightings.camera[chosen], self.sightings.point[chosen]
        origins = self.cameras.c2w[camera, :, 3]
        way = point - origins
        distance = way.norm(dim=1)
        viewdirs = directions = way / distance[:, None]
        stops, ndc = _FREE * distance, self.bounds.ndc
        if ndc is not None:
            z = origins[:, 2] + stops * directions[:, 2]
            stops = 1 + ndc.near / z  # the inverse of NDC.distance
            origins, directions = ndc.rays(origins, directions)
            if self.bounds.warped_viewdirs:
                viewdirs = directions
        near, far = (stops.new_full((count,), t) for t in (self.bounds.near, self.bounds.far))
        return Rays(origins, directions, viewdirs, near, far, camera).to(device), stops.to(device)
