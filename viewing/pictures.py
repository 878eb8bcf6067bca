"""What is shown of a rendered view: colour, depth, opacity, normals."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from api import Image
from geometry.cameras import Cameras
from writing.depth import depth_range, depth_to_colour

Picture = UInt8[np.ndarray, "height width 3"]
KINDS = ("colour", "depth", "opacity", "normals")


def picture_of(image: Image, camera: Cameras, kind: str) -> UInt8[np.ndarray, "height width 3"]:
    """The picture of one of KINDS.

    Args:
        camera: the one that the image was rendered with.
    """
    if kind == "depth":
        depth = image.depth.cpu().numpy()
        return depth_to_colour(depth, *depth_range([depth]))
    if kind == "opacity":
        return _bytes(image.opacity[..., None].expand(-1, -1, 3))
    if kind == "normals":
        normals = normals_of(image.depth.cpu(), camera)
        surface = image.depth.cpu()[..., None] > 0
        return _bytes(torch.where(surface, 0.5 + 0.5 * normals, torch.zeros_like(normals)))
    return _bytes(image.rgb)


def photo_over(
    picture: UInt8[np.ndarray, "height width 3"],
    photo: UInt8[np.ndarray, "rows columns 3"],
    share: float,
) -> UInt8[np.ndarray, "height width 3"]:
    """A photo over a rendering from the same place, both of the same vertical field of view.

    Args:
        photo: as high as the picture shows; its middle is the picture's.
        share: of the photo, from 0 to 1.
    """
    height, width = picture.shape[:2]
    wide = max(1, round(height * photo.shape[1] / photo.shape[0]))
    image = PIL.Image.fromarray(photo).resize((wide, height), PIL.Image.Resampling.BOX)
    shown = min(wide, width)
    at, left = (width - shown) // 2, (wide - shown) // 2
    mixed = picture.copy()
    part = mixed[:, at : at + shown].astype(np.float32)
    over = np.asarray(image)[:, left : left + shown]
    mixed[:, at : at + shown] = (part + share * (over - part) + 0.5).astype(np.uint8)
    return mixed


def png_bytes(picture: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """The picture as the content of a PNG file."""
    content = io.BytesIO()
    PIL.Image.fromarray(picture).save(content, format="PNG")
    return content.getvalue()


def normals_of(
    depth: Float[Tensor, "height width"], camera: Cameras
) -> Float[Tensor, "height width 3"]:
    """Unit normals in the scene, towards the camera, from differences of neighbouring pixels.

    Args:
        depth: distance along each pixel's ray.
    """
    height, width = depth.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    camera = camera.to("cpu")
    zero = torch.zeros(height * width, dtype=torch.long)
    origins, directions = camera.rays(zero, x.reshape(-1), y.reshape(-1))
    points = (origins + directions * depth.reshape(-1, 1)).view(height, width, 3)
    along_y, along_x = torch.gradient(points, dim=(0, 1))
    return torch.nn.functional.normalize(torch.linalg.cross(along_y, along_x), dim=-1)


def _bytes(values: Tensor) -> UInt8[np.ndarray, "height width 3"]:
    return (255 * values.clamp(0, 1) + 0.5).byte().cpu().numpy()
