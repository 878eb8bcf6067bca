"""Rays towards points that are known: supervision of depth from a sparse model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datasets.photos import Photos
from datasets.scene import Scene
from datasets.sparse.observations import SparseObservations
from geometry.cameras import Cameras
from geometry.rays import Bounds, RayLimits, Rays

# The tolerance around a point: a share of its distance, as errors of the solve grow with it, and
# grid cells, as a cell on a surface holds some of what is beside it.
_DISTANCE_TOLERANCE, _CELL_TOLERANCE = 0.03, 2.0


@dataclass(frozen=True)
class DepthRays:
    """Rays that are followed to a limit, and the opacity that they should have there.

    Attributes:
        rays: in the coordinates of the scene's rays.
        limits: where they end.
        target_opacity: 0 for a ray that ends before its point, 1 for one that ends behind it.
    """

    rays: Rays
    limits: RayLimits
    target_opacity: Float[Tensor, "ray"]


@dataclass(frozen=True)
class DepthSupervision:
    """Draws rays from cameras towards points that they observed.

    Each ray is drawn twice. Followed to shortly before its point it should meet nothing; followed
    to shortly behind it should lose all its light. (DS-NeRF, Deng et al. 2022, compares
    distributions along the ray; two opacities say as much, and need only what rendering gives.)

    Args:
        observations, cameras: of the training photos.
        bounds: of the scene's rays.
    """

    observations: SparseObservations
    cameras: Cameras
    bounds: Bounds

    @staticmethod
    def of_scene(scene: Scene, photos: Photos) -> DepthSupervision | None:
        """Towards the points that the training photos show; None where no point is known.

        Args:
            photos: of the training split.
        """
        observations = scene.observations()
        if observations is None:
            return None
        train = scene.splits["train"]
        cameras = scene.cameras[train]
        visible = observations.of_cameras(train).visible(photos, cameras)
        return DepthSupervision(visible, cameras, scene.bounds) if len(visible) else None

    def to(self, device: torch.device | str) -> DepthSupervision:
        return DepthSupervision(self.observations.to(device), self.cameras.to(device), self.bounds)

    def draw(self, count: int, generator: torch.Generator) -> DepthRays:
        """Random pairs of rays towards `count` points, on the generator's device."""
        device = generator.device
        chosen = torch.randint(len(self.observations), (count,), generator=generator, device=device)
        chosen = chosen.repeat_interleave(2)
        camera, point = self.observations.camera[chosen], self.observations.point[chosen]
        target_opacity = torch.arange(2.0, device=device).repeat(count)
        side = 2 * target_opacity - 1  # before or behind the point
        origins = self.cameras.c2w[camera, :, 3]
        to_point = point - origins
        distance = to_point.norm(dim=1)
        viewdirs = directions = to_point / distance[:, None]
        t, ndc = distance * (1 + side * _DISTANCE_TOLERANCE), self.bounds.ndc
        if ndc is not None:
            z = origins[:, 2] + t * directions[:, 2]
            t = 1 + ndc.near / z  # the inverse of NDC.distance
            origins, directions = ndc.rays(origins, directions)
            if self.bounds.warped_viewdirs:
                viewdirs = directions
        near, far = (t.new_full(t.shape, bound) for bound in (self.bounds.near, self.bounds.far))
        rays = Rays(origins, directions, viewdirs, near, far, camera)
        return DepthRays(rays, RayLimits(t, side * _CELL_TOLERANCE), target_opacity)
