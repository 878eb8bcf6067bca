"""What a sweep shows: a table, one PSNR curve a fit, a sheet of the final images."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image

from learn.figures.curves import Curve, draw_curves, smooth
from learn.figures.strip import draw_strip
from learn.image2d.cell import Cell
from writing.files import write_bytes
from writing.frames import read_image
from writing.html.page import data_uri, write_page


def write_results(
    folder: Path, axes: list[str], cells: list[Cell], command: str, whole: bool
) -> None:
    """Write table.csv and index.html of what is done so far; the figures too where all is done."""
    done = [cell for cell in cells if cell.metrics is not None]
    rows = [
        {
            "values": [f"{v:g}" if isinstance(v, float) else v for v in cell.values],
            "psnr": None if cell.metrics is None else cell.metrics["psnr"],
            "seconds": None if cell.metrics is None else cell.metrics["seconds"],
            "state": cell.state,
        }
        for cell in cells
    ]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow([*axes, "psnr", "seconds", "state"])
    writer.writerows([*r["values"], r["psnr"], r["seconds"], r["state"]] for r in rows)  # type: ignore[misc]
    write_bytes(folder / "table.csv", table.getvalue().encode())
    pictures = []
    if whole and done:
        curves = _draw_curves(folder, axes, done)
        sheet = _draw_sheet(folder, axes, done)
        pictures = [("PSNR of the training batches", curves), ("Final images", sheet)]
    write_page(
        folder / "index.html",
        "sweep.html",
        title=f"Sweep over {', '.join(axes)}",
        axes=axes,
        rows=rows,
        done=len(done),
        failed=sum(cell.state not in ("done", "waiting") for cell in cells),
        pictures=[(caption, data_uri(path)) for caption, path in pictures],
        command=command,
        folder=folder,
    )


def _label(axes: list[str], cell: Cell) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in zip(axes, cell.values, strict=True)
    )


def _draw_curves(folder: Path, axes: list[str], cells: list[Cell]) -> Path:
    lines = {}
    for cell in cells:
        assert cell.metrics is not None
        curve = cell.metrics["curve"]
        lines[_label(axes, cell)] = Curve(curve["iteration"], smooth(curve["psnr"], 15))
    draw_curves(folder / "curves.svg", {"PSNR in dB": lines})
    return draw_curves(folder / "curves.png", {"PSNR in dB": lines})


def _draw_sheet(folder: Path, axes: list[str], cells: list[Cell]) -> Path:
    images, captions = [], []
    for cell in cells:
        assert cell.metrics is not None
        image = Image.fromarray(read_image(cell.folder / "reconstruction.png"))
        image.thumbnail((480, 480))
        images.append(np.asarray(image))
        captions.append(f"{_label(axes, cell)}\n{cell.metrics['psnr']:.2f} dB")
    # The last option varies along a row, so that a row is read as one comparison.
    last = len({cell.values[-1] for cell in cells})
    columns = last if 2 <= last <= 6 else min(5, len(images))
    return draw_strip(folder / "contact_sheet.png", images, captions, columns=columns)
