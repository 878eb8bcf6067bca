"""Rays of all images as a data set that hands out samples: the class project's interface."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from datasets.photos import Photos
from datasets.scene import Scene
from geometry.cameras import pixel_to_ray


class RaysDataset(Dataset):
    """All pixels of all images, each with the ray that it looks along.

    Rays are cast when they are asked for; memory is that of the uint8 images.

    Args:
        images: (N, H, W, 3) uint8, or Photos of any sizes.
        K: intrinsics in pixels, for all or for each image, as matrices or (fx, fy, cx, cy).
        c2w: camera-to-world matrices with OpenGL's axes, (N, 3, 4) or (N, 4, 4).
        shuffle: hand out random pixels, drawn with replacement; else all in order, image by
            image and row by row, and again from the first.
        seed: of the draw.
    """

    def __init__(
        self,
        images: Photos | UInt8[Tensor, "image height width 3"] | np.ndarray,
        K: Float[Tensor, "..."],
        c2w: Float[Tensor, "image rows 4"],
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        self.photos = images if isinstance(images, Photos) else _photos(torch.as_tensor(images))
        count = len(self.photos)
        c2w, K = torch.as_tensor(c2w).float(), torch.as_tensor(K).float()
        if len(c2w) != count:
            raise ValueError(f"{count} images but {len(c2w)} poses")
        own = 2 if K.shape[-1] == 3 else 1
        self.c2w, self.K = c2w, K if K.dim() > own else K.expand(count, *K.shape)
        self.shuffle = shuffle
        self.generator = torch.Generator().manual_seed(seed)
        self._next = 0

    @staticmethod
    def from_scene(
        scene: Scene, split: str = "train", shuffle: bool = True, seed: int = 0
    ) -> RaysDataset:
        """The views of one split of a scene. Raises UserError where they have no photos."""
        views = scene.splits[split]
        cameras = scene.cameras[views]
        return RaysDataset(scene.photos(views), cameras.intrinsics, cameras.c2w, shuffle, seed)

    def __len__(self) -> int:
        """Pixels of all images."""
        return len(self.photos.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Origin, direction and colour, (3,) each, of one pixel."""
        rays_o, rays_d, pixels = self.rays(torch.tensor([index]))
        return rays_o[0], rays_d[0], pixels[0]

    def sample_indices(self, n: int) -> Int[Tensor, "ray"]:
        """The next n pixels, as places in the images laid end to end."""
        if self.shuffle:
            return torch.randint(len(self), (n,), generator=self.generator)
        index = (torch.arange(n) + self._next) % len(self)
        self._next = (self._next + n) % len(self)
        return index

    def sample_rays(
        self, n: int
    ) -> tuple[Float[Tensor, "ray 3"], Float[Tensor, "ray 3"], Float[Tensor, "ray 3"]]:
        """Origins and unit directions of n rays over all images, and their colours in [0, 1]."""
        return self.rays(self.sample_indices(n))

    def rays(self, index: Int[Tensor, "ray"]) -> tuple[Tensor, Tensor, Tensor]:
        """Origins, directions and colours of these pixels."""
        image, x, y = self.photos.locate(index)
        uv = torch.stack([x, y], dim=-1) + 0.5
        rays_o, rays_d = pixel_to_ray(self.K[image], self.c2w[image], uv)
        return rays_o, rays_d, self.photos.pixels[index].float() / 255


def _photos(images: Tensor) -> Photos:
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[-1] != 3:
        raise ValueError(f"images are {tuple(images.shape)} {images.dtype}, not (N, H, W, 3) uint8")
    count, height, width = images.shape[:3]
    return Photos(
        pixels=images.reshape(-1, 3),
        widths=torch.full((count,), width),
        offsets=torch.arange(count + 1) * (height * width),
    )
