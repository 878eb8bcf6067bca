"""Networks from a position in the image to its colour."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from learn.image2d.grid import FeatureGrid
from learn.image2d.options import FitOptions
from learn.image2d.photo import pixel_positions
from models.embedding import Embedding


class ImageMLP(nn.Module):
    """Positional encoding, `num_layers` linear + ReLU layers, a linear layer, a sigmoid.

    Args:
        num_layers: hidden layers.
        width: channels of each.
        L: frequencies of the encoding; 0 hands the network the bare position.
    """

    def __init__(self, num_layers: int = 3, width: int = 256, L: int = 10) -> None:
        super().__init__()
        self.embedding = Embedding(2, L)
        self.layers = _mlp(self.embedding.out_channels, num_layers, width)

    def forward(self, xy: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 3"]:
        """Colours in [0, 1] at positions in [0, 1]."""
        return self.layers(self.embedding(xy))


class ImageGrid(nn.Module):
    """A multi-resolution grid of features (instant-ngp, section 3, without its hashing) and a tiny
    network.

    Args:
        width, height: of the image; the finest grid has half as many cells a side.
    """

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.grid = FeatureGrid(width, height)
        self.layers = _mlp(self.grid.out_channels, num_layers=2, width=64)

    def forward(self, xy: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 3"]:
        """Colours in [0, 1] at positions in [0, 1]."""
        return self.layers(self.grid(xy))


def _mlp(in_channels: int, num_layers: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_layers):
        # In place: a quarter of a step's memory traffic otherwise goes to copies.
        layers += [nn.Linear(in_channels, width), nn.ReLU(inplace=True)]
        in_channels = width
    return nn.Sequential(*layers, nn.Linear(in_channels, 3), nn.Sigmoid())


image_models: dict[str, Callable[[FitOptions, int, int], nn.Module]] = {
    "mlp": lambda options, width, height: ImageMLP(options.num_layers, options.width, options.L),
    "grid": lambda options, width, height: ImageGrid(width, height),
}


@torch.no_grad()
def paint(
    network: nn.Module,
    width: int,
    height: int,
    device: torch.device | str = "cpu",
    chunk: int = 16384,
) -> Tensor:
    """The image that the network has learnt, at any resolution.

    Args:
        network: positions to colours.
        width, height: of the painting in pixels.
        device: where the network is.
        chunk: pixels at once.

    Returns:
        (height, width, 3) uint8, on the CPU.
    """
    rows = torch.empty(width * height, 3, dtype=torch.uint8)
    for start in range(0, len(rows), chunk):
        index = torch.arange(start, min(start + chunk, len(rows)), device=device)
        rgb = network(pixel_positions(index, width, height))
        rows[start : start + chunk] = (rgb * 255 + 0.5).clamp_(0, 255).to(torch.uint8).cpu()
    return rows.view(height, width, 3)
