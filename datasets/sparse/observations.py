"""Which cameras observed which points of a sparse model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from datasets.photos import Photos
from geometry.cameras import Cameras, camera_to_pixel


@dataclass(frozen=True)
class SparseObservations:
    """Pairs of a camera and a point that it saw.

    Attributes:
        camera: index of the camera.
        point: position in scene units.
    """

    camera: Int[Tensor, "observation"]
    point: Float[Tensor, "observation 3"]

    def __len__(self) -> int:
        return len(self.camera)

    def to(self, device: torch.device | str) -> SparseObservations:
        return SparseObservations(self.camera.to(device), self.point.to(device))

    def of_cameras(self, cameras: list[int]) -> SparseObservations:
        """Those of the chosen cameras, which are numbered anew in that order."""
        number = torch.full((max([*cameras, int(self.camera.max())]) + 1,), -1)
        number[torch.tensor(cameras)] = torch.arange(len(cameras))
        kept = number[self.camera] >= 0
        return SparseObservations(number[self.camera[kept]], self.point[kept])

    def visible(self, photos: Photos, cameras: Cameras) -> SparseObservations:
        """Those whose photo shows the point.

        Poses were solved from all that was photographed, so a photo may be transparent at a point,
        or its mask may leave it out.

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
        return SparseObservations(self.camera[kept], self.point[kept])
