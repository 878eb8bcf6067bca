"""Diagrams of the networks, from their modules: python plot_model.py"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 (before the imports that take time)

from dataclasses import dataclass
from pathlib import Path

from cli import parse
from errors import run_command
from learn.figures.networks import (
    draw_network,
    image_network,
    nerf_network,
    small_voxel_field,
    voxel_field,
)
from learn.image2d.networks import ImageMLP
from models.nerf.network import NeRF


@dataclass(frozen=True)
class ModelPlotOptions:
    """Draw the 2D network, the paper's network and the voxel field's way, as SVG and PNG."""

    out_dir: str = "figures"
    """folder of the diagrams"""


def main() -> None:
    folder = Path(parse(ModelPlotOptions).out_dir)
    diagrams = {
        "image2d": ("The 2D network", image_network(ImageMLP())),
        "nerf": ("The NeRF network", nerf_network(NeRF())),
        "voxels": ("The voxel field", voxel_field(small_voxel_field())),
    }
    for name, (title, boxes) in diagrams.items():
        for ending in (".svg", ".png"):
            path = draw_network(folder / f"network_{name}{ending}", title, boxes)
        print(path)


if __name__ == "__main__":
    run_command(main)
