"""Points of a sparse model and the cameras that saw them: nothing before them, all behind."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .cameras import Cameras, camera_to_pixel
from .images import Photos
from .rays import Bounds, Rays, Stops

# A point lies a little before or behind what it is of, the farther away the more: by this share
# of its distance, and by so many cells, as a cell holds some of what is beside it.
_SHARE, _CELLS = 0.03, 2.0


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

    def to(self, device: torch.device | str) -> Sightings:
        return Sightings(self.camera.to(device), self.point.to(device))

    def of(self, cameras: list[int]) -> Sightings:
        """Those of some cameras alone, which are numbered anew."""
        number = torch.full((max([*cameras, int(self.camera.max())]) + 1,), -1)
        number[torch.tensor(cameras)] = torch.arange(len(cameras))
        kept = number[self.camera] >= 0
        return Sightings(number[self.camera[kept]], self.point[kept])

    def shown(self, photos: Photos, cameras: Cameras) -> Sightings:
        """Those whose photo shows the point: it may be transparent there, or a mask leaves it out,
        and poses were found from all that was photographed.

        Args:
            photos, cameras: the same views, as this numbers them.
        """
        c2w, width = cameras.c2w[self.camera], photos.widths[self.camera]
        point = (c2w[:, :, :3].transpose(1, 2) @ (self.point - c2w[:, :, 3])[..., None])[..., 0]
        uv, depth = camera_to_pixel(cameras.intrinsics[self.camera], point)
        inside = (uv >= 0).all(dim=1) & (uv < cameras.size[self.camera]).all(dim=1) & (depth > 0)
        x, y = uv.floor().long().where(inside[:, None], 0).unbind(1)
        pixel = photos.offsets[self.camera] + y * width + x
        kept = inside
        if photos.valid is not None:
            kept = kept & photos.valid[pixel]
        if photos.alpha is not None:
            kept = kept & (photos.alpha[pixel] > 127)
        return Sightings(self.camera[kept], self.point[kept])


@dataclass(frozen=True)
class SparseDepth:
    """Draws rays from cameras towards points that they saw: supervision of depth.

    Each ray is drawn twice. Followed to shortly before its point it should meet nothing, followed
    to shortly behind it should lose all its light. (DS-NeRF, Deng et al. 2022, compares
    distributions along the ray; two opacities say as much, and need nothing but what rendering
    gives.)

    Args:
        sightings, cameras: of the training photos.
        bounds: of the scene's rays.
    """

    sightings: Sightings
    cameras: Cameras
    bounds: Bounds

    def to(self, device: torch.device | str) -> SparseDepth:
        return SparseDepth(self.sightings.to(device), self.cameras.to(device), self.bounds)

    def __call__(
        self, count: int, generator: torch.Generator
    ) -> tuple[Rays, Stops, Float[Tensor, "ray"]]:
        """Random pairs of rays, how far to follow them, and the opacity that they should have.

        On the device that the sightings and cameras are on, and the generator.
        """
        device = generator.device
        chosen = torch.randint(len(self.sightings), (count,), generator=generator, device=device)
        chosen = chosen.repeat_interleave(2)
        camera, point = self.sightings.camera[chosen], self.sightings.point[chosen]
        wanted = torch.arange(2.0, device=device).repeat(count)
        side = 2 * wanted - 1  # before or behind
        origins = self.cameras.c2w[camera, :, 3]
        way = point - origins
        distance = way.norm(dim=1)
        viewdirs = directions = way / distance[:, None]
        t, ndc = distance * (1 + side * _SHARE), self.bounds.ndc
        if ndc is not None:
            z = origins[:, 2] + t * directions[:, 2]
            t = 1 + ndc.near / z  # the inverse of NDC.distance
            origins, directions = ndc.rays(origins, directions)
            if self.bounds.warped_viewdirs:
                viewdirs = directions
        near, far = (t.new_full(t.shape, bound) for bound in (self.bounds.near, self.bounds.far))
        rays = Rays(origins, directions, viewdirs, near, far, camera)
        stops = Stops(t, side * _CELLS)
        return rays, stops, wanted
