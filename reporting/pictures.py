"""The figures of a report, each also a file of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps, rc_context

from evaluation.metrics import psnr
from learn.figures.curves import Curve, draw_curves, smooth
from learn.figures.strip import draw_strip
from learn.figures.style import new_figure, save_figure, style
from learn.rayplot.draw import draw_cameras
from reporting.rendered import Rendered, same_views
from reporting.run import Compared, Run
from writing.files import write_png

_ERROR_SCALE = 0.25  # the error that the map shows as brightest


def curves(
    folder: Path, runs: list[Run], labels: dict[str, str], marks: dict[float, str]
) -> list[Path]:
    """PSNR of all runs on one axis, and their loss on another, as PNG and SVG.

    Args:
        labels: by the runs' names.
        marks: words at steps.
    """
    quality: dict[str, Curve] = {}
    loss: dict[str, Curve] = {}
    for run in runs:
        prefix = f"{labels[run.name]}, " if len(runs) > 1 else ""
        for kind, tag in (("training", "train"), ("validation", "val")):
            for panel, name in ((quality, "psnr"), (loss, "loss")):
                series = run.log.series(f"{tag}/{name}")
                if (
                    kind == "validation"
                    and name == "psnr"
                    and run.log.series("val/psnr_pixels").steps
                ):
                    series = run.log.series("val/psnr_pixels")
                if series.steps:
                    smoothed = kind == "training"
                    panel[f"{prefix}{kind}"] = Curve(
                        series.steps,
                        smooth(series.values, 9) if smoothed else series.values,
                        marked=not smoothed and len(series.steps) < 60,
                    )
    paths = []
    for name, label, lines in (("psnr", "PSNR in dB", quality), ("loss", "loss", loss)):
        for ending in (".svg", ".png") if lines else ():
            path = folder / f"curves_{name}{ending}"
            draw_curves(path, {label: lines}, x_label="step", log=("loss",), marks=marks)
        paths += [path] if lines else []
    return paths


def strip(folder: Path, run: Run, photo: np.ndarray | None) -> Path | None:
    """The first held-out view over time."""
    shots = run.shots()
    if not shots:
        return None
    images = [shot.image for shot in shots]
    captions = [f"step {shot.step}" for shot in shots]
    if photo is not None and photo.shape == images[0].shape:
        captions = [
            f"{caption}\n{psnr(image, photo):.2f} dB"
            for caption, image in zip(captions, images, strict=True)
        ]
        images, captions = [*images, photo], [*captions, "photo\n"]
    return draw_strip(folder / f"strip_{run.name}.png", images, captions, panel=1.9)


def comparison(folder: Path, run: Run, number: int, compared: Compared) -> tuple[Path, Path, Path]:
    """Photo, prediction and error map as files."""
    stem = f"{run.name}_{number}"
    photo, image = folder / f"{stem}_photo.png", folder / f"{stem}_prediction.png"
    write_png(photo, np.ascontiguousarray(compared.photo))
    write_png(image, np.ascontiguousarray(compared.image))
    error = compared.error
    height, width = error.shape
    with rc_context(style()):
        figure = new_figure(4.2 * min(1, width / height) + 0.9, 4.2 * min(1, height / width) + 0.2)
        axis = figure.subplots()
        shown = axis.imshow(error, cmap=colormaps["inferno"], vmin=0, vmax=_ERROR_SCALE)
        axis.axis("off")
        figure.colorbar(shown, ax=axis, extend="max", label="mean absolute error", shrink=0.85)
        return photo, image, save_figure(figure, folder / f"{stem}_error.png")


def say_error(compared: Compared) -> str:
    """One sentence on an error map."""
    error = compared.error
    square = np.sort((error**2).ravel())[::-1]
    half = int(np.searchsorted(square.cumsum(), 0.5 * square.sum())) + 1
    return (
        f"Brighter is further from the photo: {100 * error.mean():.1f} % of full scale on "
        f"average; half of the squared error lies in {100 * half / error.size:.0f} % of the pixels."
    )


def rows(folder: Path, rendered: list[Rendered]) -> list[tuple[str, Path]]:
    """For each view that all have, a strip of its photo and what each made of it."""
    found = []
    for place, (name, numbers) in enumerate(same_views(rendered)):
        pairs = list(zip(rendered, numbers, strict=True))
        images = [r.images[number] for r, number in pairs]
        captions = [f"{r.label}\n{r.psnr[number]:.2f} dB" for r, number in pairs]
        photo = rendered[0].photos[numbers[0]]
        path = folder / f"compared_{place}.png"
        found.append((name, draw_strip(path, [*images, photo], [*captions, "photo\n"], panel=2.6)))
    return found


def cameras(folder: Path, run: Run) -> Path | None:
    """The cameras of the scene; training views blue, held-out views orange."""
    if run.scene is None or len(run.scene.cameras) == 0:
        return None
    return draw_cameras(folder / f"cameras_{run.name}.png", run.scene)
