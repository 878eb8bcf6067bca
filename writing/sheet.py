"""One picture of many: views beside their photos, with a caption each."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from errors import UserError
from writing.files import replacing
from writing.frames import Picture, evenly
from writing.layout import fit

BACKGROUND = (255, 255, 255)
INK = (30, 30, 30)
LEAST = 180  # pixels: an image narrower and lower than this tells little
GAP = 4  # between the images of a group
MARGIN = 14  # between groups, and around the sheet


@dataclass(frozen=True)
class Grid:
    """Where groups lie: columns, and the pixels of an image's box, a group and a line of text."""

    columns: int
    box: tuple[int, int]  # height, width
    per_group: int
    text: int

    @property
    def group(self) -> tuple[int, int]:
        """Height and width of a group with its caption and margin."""
        width = self.per_group * self.box[1] + (self.per_group - 1) * GAP
        return self.box[0] + self.text + MARGIN, width + MARGIN

    def size(self, count: int) -> tuple[int, int]:
        """Height and width of the sheet for `count` groups, with its heading."""
        rows = math.ceil(count / self.columns)
        height, width = self.group
        return rows * height + MARGIN + 2 * self.text, self.columns * width + MARGIN


def write_contact_sheet(
    path: Path,
    images: Sequence[Sequence[Picture]],
    captions: Sequence[str],
    max_side: int = 2400,
    heading: str = "",
) -> int:
    """Write a PNG or JPEG (by the ending) of groups of images; returns how many are shown.

    images: groups, each uint8 (height, width, 3) side by side: a view and its photo. Any sizes:
        each is shown whole in a box of one size, at most that of the largest.
    captions: a line for each group, as its name and PSNR; one that is too long loses its middle.
    max_side: pixels. Where all groups would be too small to tell anything, fewer are shown, evenly
        chosen, and the heading says so.

    Raises UserError where there is nothing to show, OSError where the disk refuses; the file then
    stays as it was.
    """
    if len(images) == 0:
        raise UserError(f"{path}: there are no images to show")
    if len(images) != len(captions):
        raise ValueError(f"{len(images)} groups of images with {len(captions)} captions")
    shapes = [image.shape[:2] for group in images for image in group]
    whole = (max(height for height, _ in shapes), max(width for _, width in shapes))
    per_group = max(len(group) for group in images)
    shown = evenly(len(images), most_groups(len(images), whole, per_group, max_side))
    grid = best_grid(len(shown), whole, per_group, max_side)
    if len(shown) < len(images):
        heading = f"{heading} ({len(shown)} of {len(images)})".strip()

    height, width = grid.size(len(shown))
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    write_line(draw, heading, (MARGIN, MARGIN // 2), width - 2 * MARGIN, round(1.15 * grid.text))
    for place, index in enumerate(shown):
        row, column = divmod(place, grid.columns)
        top = MARGIN + 2 * grid.text - MARGIN // 2 + row * grid.group[0]
        left = MARGIN + column * grid.group[1]
        right = left
        for image in images[index]:
            # Side by side and on the caption, also where they are smaller than their boxes.
            small = fit(image, *grid.box)
            sheet.paste(Image.fromarray(small), (right, top + grid.box[0] - small.shape[0]))
            right += small.shape[1] + GAP
        room = grid.group[1] - MARGIN
        write_line(draw, captions[index], (left, top + grid.box[0] + 2), room, grid.text)
    with replacing(path) as temporary:
        # For a JPEG (a PNG takes no notice): with full chroma, red and blue edges stay as they are.
        sheet.save(temporary, quality=90, subsampling=0)
    return len(shown)


def most_groups(count: int, whole: tuple[int, int], per_group: int, max_side: int) -> int:
    """How many of `count` groups fit with images of LEAST pixels, or of their size if smaller."""

    def is_too_small(count: int) -> bool:
        box = best_grid(count, whole, per_group, max_side).box
        return max(box) < min(LEAST, max(whole))

    return max(1, bisect.bisect_left(range(1, count + 1), True, key=is_too_small))


def best_grid(count: int, whole: tuple[int, int], per_group: int, max_side: int) -> Grid:
    """The number of columns that leaves the images largest, at most `whole` (height, width).

    Among equally large ones, the sheet whose sides differ least.
    """
    grids = [grid_of(columns, count, whole, per_group, max_side) for columns in range(1, count + 1)]

    def worth(grid: Grid) -> tuple[int, float]:
        height, width = grid.size(count)
        return grid.box[1], -abs(math.log(width / height))

    return max(grids, key=worth)


def grid_of(
    columns: int, count: int, whole: tuple[int, int], per_group: int, max_side: int
) -> Grid:
    """The largest boxes for so many columns; text is a 14th of a box, from 13 to 28 pixels."""
    rows = math.ceil(count / columns)
    across = (max_side - MARGIN) / columns - MARGIN - (per_group - 1) * GAP
    scale = min(1.0, across / (per_group * whole[1]))
    while True:
        box = (max(1, int(whole[0] * scale)), max(1, int(whole[1] * scale)))
        text = int(np.clip(max(box) / 14, 13, 28)) + 6
        grid = Grid(columns, box, per_group, text)
        if grid.size(count)[0] <= max_side or max(box) == 1:
            return grid
        down = (max_side - MARGIN - 2 * text) / rows - MARGIN - text
        scale = min(0.99 * scale, max(down, 1) / whole[0])


def write_line(
    draw: ImageDraw.ImageDraw, text: str, at: tuple[int, int], room: int, height: int
) -> None:
    """Draw `text` in a line of `height` pixels, its middle left out where it is wider than `room`.

    The start names the photo and the end has its figure.
    """
    font = ImageFont.load_default(height - 6)
    shown, left_out = text, 0
    while draw.textlength(shown, font) > room and left_out < len(text) - 2:
        left_out += 1
        cut = (len(text) - left_out) // 2
        shown = f"{text[:cut]}…{text[cut + left_out :]}"
    draw.text(at, shown, INK, font)
