"""Images side by side with captions: a strip, or a sheet of several rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib import rc_context

from learn.figures.style import new_figure, save_figure, style

Image = UInt8[np.ndarray, "height width 3"]


def draw_strip(
    path: Path,
    images: Sequence[Image],
    captions: Sequence[str],
    columns: int | None = None,
    title: str = "",
    panel: float = 2.2,
) -> Path:
    """Draw images in rows of `columns` (by default all in one), a caption above each.

    Args:
        path: the PNG or SVG to write.
        images: of any sizes; each keeps its aspect.
        captions: one for each image, of one or more lines.
        columns: images in a row.
        title: above everything.
        panel: the longer side of an image, in inches.
    """
    columns = min(columns or len(images), len(images))
    rows = math.ceil(len(images) / columns)
    shapes = np.array([image.shape[:2] for image in images])
    aspect = float(np.median(shapes[:, 1] / shapes[:, 0]))  # width / height
    width, height = panel * min(1.0, aspect), panel * min(1.0, 1 / aspect)
    # A caption of 9 points takes 0.07 inches a letter, and 0.17 a line.
    words = max((len(line) for caption in captions for line in caption.split("\n")), default=0)
    lines = max((len(caption.split("\n")) for caption in captions), default=0)
    width, top = max(width, 0.073 * words, 0.6), 0.17 * lines + 0.08
    with rc_context(style()):
        figure = new_figure(
            columns * (width + 0.08) + 0.1, rows * (height + top + 0.08) + 0.1 + 0.3 * bool(title)
        )
        figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.05, wspace=0.01, hspace=0.01)
        axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
        for axis in axes:
            axis.axis("off")
        for axis, image, caption in zip(axes, images, captions, strict=False):
            axis.imshow(image, interpolation="antialiased")
            axis.set_title(caption, fontsize=9, pad=3)
        if title:
            figure.suptitle(title, fontsize=11)
        return save_figure(figure, path)
