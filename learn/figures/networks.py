"""Diagrams of networks: boxes from left to right, drawn from the modules' own shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from matplotlib import rc_context
from torch import nn

from geometry.region import Region
from learn.figures.style import COLOURS, new_figure, save_figure, style
from learn.image2d.networks import ImageMLP
from models.nerf.network import NeRF
from models.voxels.field import VoxelField

# Colours of what holds no weights, of layers, and of results.
_DATA, _LAYER, _RESULT = "0.88", COLOURS[4], COLOURS[5]


@dataclass(frozen=True)
class Box:
    """One step.

    Attributes:
        text: of one or more lines.
        column, row: its place.
        after: numbers of the boxes whose output it takes.
        colour: of the face.
    """

    text: str
    column: int
    row: float = 0.0
    after: tuple[int, ...] = ()
    colour: str = _LAYER


def image_network(network: ImageMLP) -> list[Box]:
    """The 2D network: from a position in the image to its colour."""
    boxes = [
        Box("position\nx, y", 0, colour=_DATA),
        Box(f"encoding\n{network.embedding.out_channels}", 1, after=(0,), colour=_DATA),
    ]
    layers = list(network.layers)
    for layer, following in pairwise(layers):
        if isinstance(layer, nn.Linear):
            boxes.append(_layer(layer, following, len(boxes), (len(boxes) - 1,)))
    return [*boxes, Box("colour\nr, g, b", len(boxes), 0.0, (len(boxes) - 1,), _RESULT)]


def nerf_network(network: NeRF) -> list[Box]:
    """The paper's network, as its figure 7 draws it."""
    xyz, direction = network.embedding_xyz.out_channels, network.embedding_dir.out_channels
    boxes = [
        Box("position\nx, y, z", 0, colour=_DATA),
        Box(f"encoding\n{xyz}", 1, after=(0,), colour=_DATA),
    ]
    for i in range(network.D):
        linear = getattr(network, f"xyz_encoding_{i + 1}")[0]
        joined = (1,) if i == network.skip and i > 0 else ()
        boxes.append(_layer(linear, nn.ReLU(), i + 2, (len(boxes) - 1, *joined)))
    last, column = len(boxes) - 1, network.D + 2
    boxes.append(Box(f"linear\n{network.W} → 1", column, 1.0, (last,)))
    boxes.append(Box("density\nσ", column + 1, 1.0, (last + 1,), _RESULT))
    boxes.append(_layer(network.xyz_encoding_final, None, column, (last,)))
    boxes.append(Box(f"direction,\nencoded\n{direction}", column, -1.0, colour=_DATA))
    hidden, rgb = network.dir_encoding[0], network.rgb[0]
    boxes.append(_layer(hidden, nn.ReLU(), column + 1, (last + 3, last + 4)))
    boxes.append(_layer(rgb, nn.Sigmoid(), column + 2, (last + 5,)))
    boxes.append(Box("colour\nr, g, b", column + 3, 0.0, (last + 6,), _RESULT))
    return boxes


def voxel_field(field: VoxelField) -> list[Box]:
    """The voxel field's way: tables, sums along the ray, one small network for each ray."""
    channels = field.feature_table.shape[1]
    boxes = [
        Box("samples\nof a ray", 0, colour=_DATA),
        Box("density table\n8 corners → 1", 1, 0.5, (0,)),
        Box(f"feature table\n8 corners → {channels}", 1, -0.5, (0,)),
        Box("weights\nT · α", 2, 0.5, (1,), _DATA),
        Box(f"sum along\nthe ray\n{channels}", 3, 0.0, (3, 2), _DATA),
        Box("direction,\nharmonics", 3, -1.0, colour=_DATA),
    ]
    layers = list(field.shader.network)
    before: tuple[int, ...] = (4, 5)
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.Linear):
            boxes.append(_layer(layer, following, boxes[-1].column + 1, before))
            before = (len(boxes) - 1,)
    # The first three features are the colour from every side; the network adds to it.
    added = (*before, 4)
    boxes.append(Box("colour =\nfeature[:3]\n+ network", boxes[-1].column + 1, 0.0, added, _RESULT))
    return boxes


def small_voxel_field() -> VoxelField:
    """One whose table is small: the shapes of a row are those of any."""
    torch.manual_seed(0)
    return VoxelField(Region((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), 8)


def draw_network(path: Path, title: str, boxes: Sequence[Box]) -> Path:
    """Draw boxes and arrows. Args: path: the PNG or SVG to write."""
    columns = 1 + max(box.column for box in boxes)
    rows = [box.row for box in boxes]
    with rc_context(style()):
        figure = new_figure(1.2 * columns + 0.2, 1.1 * (max(rows) - min(rows)) + 1.9)
        axis = figure.subplots()
        axis.set(xlim=(-0.55, columns - 0.45), ylim=(min(rows) - 0.6, max(rows) + 0.85))
        axis.axis("off")
        axis.set_title(title, fontsize=12)
        for box in boxes:
            axis.text(
                *(box.column, box.row, box.text),
                ha="center", va="center", fontsize=7.5, zorder=3,
                bbox={"boxstyle": "round,pad=0.4", "facecolor": box.colour, "edgecolor": "0.4"},
            )  # fmt: skip
            for number in box.after:
                start = boxes[number]
                far = box.column - start.column > 1 and start.row == box.row
                arrow = {
                    **{"arrowstyle": "-|>", "color": "0.35", "shrinkA": 22, "shrinkB": 24},
                    "connectionstyle": f"arc3,rad={-0.35 if far else 0.0}",
                }
                axis.annotate(
                    "", (box.column, box.row), (start.column, start.row), arrowprops=arrow, zorder=2
                )
        return save_figure(figure, path)


def _layer(
    linear: nn.Module, following: nn.Module | None, column: int, after: tuple[int, ...]
) -> Box:
    assert isinstance(linear, nn.Linear)
    name = {nn.ReLU: "ReLU", nn.Sigmoid: "sigmoid"}.get(type(following), "")
    text = f"linear\n{linear.in_features} → {linear.out_features}" + (f"\n{name}" if name else "")
    return Box(text, column, 0.0, after)
