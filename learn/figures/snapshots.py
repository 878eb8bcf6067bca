"""The strip of a held-out view as it forms, from a run's snapshots."""

from __future__ import annotations

from pathlib import Path

from evaluation.metrics import psnr
from training.callbacks.snapshots import FOLDER, PHOTO
from writing.frames import read_image

from .strip import draw_strip

STRIP = "strip.png"


def draw_snapshots(log_folder: Path) -> Path | None:
    """Draw strip.png of the snapshots in a run's log folder, beside their photo.

    Returns its path; None where the run has not left all of them.
    """
    photo_file = log_folder / FOLDER / PHOTO
    if not photo_file.is_file():
        return None
    photo = read_image(photo_file)
    paths = sorted((log_folder / FOLDER).glob("step_*.png"))
    images = [read_image(path) for path in paths]
    captions = [
        f"iteration {int(path.stem[5:])}\n{psnr(image, photo):.2f} dB"
        for path, image in zip(paths, images, strict=True)
    ]
    strip = log_folder / STRIP
    draw_strip(strip, [*images, photo], [*captions, "photo\n"])
    return strip
