"""Rendered views of photos: a contact sheet beside the photos, and a slow slide show.

Held-out views are no film: one after the other they would flicker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets.photos import Photos
from writing.files import write_png
from writing.frames import evenly
from writing.sheet import write_contact_sheet
from writing.slides import write_slide_show

from .views import View

SHEET, SLIDES, EXAMPLES = "contact_sheet.png", "slides.mp4", "examples"
_MOST_SLIDES = 30


def write_album(
    folder: Path, views: list[View], photos: Photos, rows: list[dict[str, Any]], heading: str
) -> None:
    """Write the sheet, the slides, and the photos of the worst, a middling and the best view.

    Args:
        photos: of the views.
        rows: name and PSNR of each view.
    """
    captions = [f"{row['name']}  {row['psnr']:.2f} dB" for row in rows]
    pairs = [(view.image, photos.image(i).numpy()) for i, view in enumerate(views)]
    write_contact_sheet(folder / SHEET, pairs, captions, heading=heading)
    chosen = evenly(len(views), _MOST_SLIDES)
    write_slide_show(folder / SLIDES, [views[i].image for i in chosen])
    for path in (folder / EXAMPLES).glob("*_photo.png"):
        path.unlink()  # of an earlier evaluation
    order = sorted(range(len(rows)), key=lambda number: rows[number]["psnr"])
    for number in {order[0], order[len(order) // 2], order[-1]}:
        write_png(folder / EXAMPLES / f"{number:03d}_photo.png", photos.image(number).numpy())
