"""The photo that is learnt, and positions in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from datasets.photos import Frame, load_photos, photo_size
from errors import UserError


def read_image(path: Path, max_size: int | None = None) -> UInt8[Tensor, "height width 3"]:
    """The photo as RGB, turned upright; transparent parts on white.

    Args:
        path: of any mode (grey, palette, RGBA, 16 bit, ...).
        max_size: the longer side is reduced to this where it is longer.

    Raises UserError where there is no readable image.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; --image names one photo")
    _, (width, height) = photo_size(path)
    factor = min(1.0, (max_size or max(width, height)) / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return load_photos([Frame(path.stem, size, path=path, upright=True)], background=1.0).image(0)


def pixel_positions(
    index: Int[Tensor, "batch"], width: int, height: int
) -> Float[Tensor, "batch 2"]:
    """Centres of the pixels with these row-major indices, x and y each in [0, 1]."""
    y = torch.div(index, width, rounding_mode="floor")
    xy = torch.stack([index - y * width, y], dim=-1).float()
    return (xy + 0.5) / torch.tensor([width, height], device=index.device)


@dataclass(frozen=True)
class PixelBatch:
    """Positions in the image and the colours there."""

    xy: Float[Tensor, "batch 2"]
    rgb: Float[Tensor, "batch 3"]

    def to(self, device: torch.device | str) -> PixelBatch:
        return PixelBatch(self.xy.to(device), self.rgb.to(device))


class RandomPixels:
    """An endless stream of batches of random pixels, made on the image's device.

    Args:
        image: the photo.
        batch_size: pixels of a batch, drawn with replacement.
        seed: of the draw.
    """

    def __init__(
        self, image: UInt8[Tensor, "height width 3"], batch_size: int, seed: int = 0
    ) -> None:
        self.height, self.width = image.shape[:2]
        self.pixels = image.reshape(-1, 3)
        self.batch_size, self.seed = batch_size, seed

    def __iter__(self) -> Iterator[PixelBatch]:
        device = self.pixels.device
        generator = torch.Generator(device).manual_seed(self.seed)
        while True:
            index = torch.randint(
                len(self.pixels), (self.batch_size,), generator=generator, device=device
            )
            yield PixelBatch(
                pixel_positions(index, self.width, self.height),
                self.pixels[index].float().div_(255),
            )
