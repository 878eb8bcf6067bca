"""What is drawn: cameras of a scene, rays through chosen pixels, sample points on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from datasets.loaders.ray_dataset import RaysDataset
from datasets.scene import Scene
from geometry.cameras import Cameras, camera_to_pixel, inverse_transform, pixel_to_camera, transform
from models.rendering.sampling import sample_along_rays

CORNERS = {
    "top_left": (0, 0),
    "top_right": (1, 0),
    "bottom_left": (0, 1),
    "bottom_right": (1, 1),
}


@dataclass(frozen=True)
class DrawnRays:
    """Rays through pixels of some images; all arrays have one row a ray.

    image is a place among the views of the split; pixel is where the ray was asked for (column,
    row); landing is where a point of the ray appears in that image by projection, in pixels.
    """

    image: Int[np.ndarray, "ray"]
    pixel: Int[np.ndarray, "ray 2"]
    landing: Float[np.ndarray, "ray 2"]
    origins: Float[np.ndarray, "ray 3"]
    directions: Float[np.ndarray, "ray 3"]
    points: Float[np.ndarray, "ray sample 3"]

    def __len__(self) -> int:
        return len(self.image)


def visible_range(scene: Scene) -> tuple[float, float]:
    """Distances between which rays are drawn; a forward-facing scene has no farthest one."""
    if scene.bounds.ndc is not None:
        return 1.0, 4.0  # NDC begins at distance 1 along the optical axis
    return scene.bounds.near, scene.bounds.far


def draw_through(
    dataset: RaysDataset,
    index: Int[torch.Tensor, "ray"],
    bounds: tuple[float, float],
    n_samples: int,
    perturb: bool,
) -> DrawnRays:
    """The rays through these pixels of the data set, with their sample points."""
    image, x, y = dataset.photos.locate(index)
    rays_o, rays_d, _ = dataset.rays(index)
    points = sample_along_rays(rays_o, rays_d, *bounds, n_samples, perturb)
    # The way back is not that by which the ray was made: a mistake in one shows.
    landing, _ = camera_to_pixel(
        dataset.K[image], inverse_transform(dataset.c2w[image], points[:, -1])
    )
    return DrawnRays(
        image.numpy(),
        torch.stack([x, y], dim=-1).numpy(),
        landing.numpy(),
        rays_o.numpy(),
        rays_d.numpy(),
        points.numpy(),
    )


def one_per_camera(dataset: RaysDataset, generator: torch.Generator) -> torch.Tensor:
    """A random pixel of each image."""
    counts = dataset.photos.offsets.diff()
    share = torch.rand(len(counts), generator=generator)
    return dataset.photos.offsets[:-1] + (share * counts).long()


def in_view(
    dataset: RaysDataset, view: int, count: int, generator: torch.Generator
) -> torch.Tensor:
    """Random pixels of one image."""
    first, last = dataset.photos.offsets[view : view + 2].tolist()
    return torch.randint(first, last, (count,), generator=generator)


def in_corner(dataset: RaysDataset, view: int, corner: str, side: int = 6) -> torch.Tensor:
    """A regular grid of pixels in a corner of one image, a quarter of its sides wide."""
    first, last = dataset.photos.offsets[view : view + 2].tolist()
    width = int(dataset.photos.widths[view])
    height = (last - first) // width
    right, below = CORNERS[corner]
    part = torch.linspace(0.01, 0.24, side)
    x = ((part + right * 0.75) * width).long().clamp(max=width - 1)
    y = ((part + below * 0.75) * height).long().clamp(max=height - 1)
    return (first + y[:, None] * width + x).reshape(-1).unique()


def frustum(
    cameras: Cameras, depth: float, steps: int = 1
) -> Float[np.ndarray, "camera row column 3"]:
    """Places of the image plane of each camera at `depth`, (steps + 1) rows and columns of them."""
    share = torch.linspace(0, 1, steps + 1)
    v, u = torch.meshgrid(share, share, indexing="ij")
    uv = torch.stack([u, v], dim=-1) * cameras.size[:, None, None].float()
    return transform(cameras.c2w, pixel_to_camera(cameras.intrinsics, uv, depth)).numpy()
