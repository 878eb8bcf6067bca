"""The photos that a sparse model was solved from, by name, without its points."""

from __future__ import annotations

from pathlib import Path

from datasets.sparse.binary import read_binary_images
from datasets.sparse.model import model_folders
from datasets.sparse.records import Damaged
from datasets.sparse.text import read_text_images
from errors import UserError


def model_names(root: Path) -> list[str]:
    """Names of the images of the largest model under `root`; none where there is none to read."""
    found: list[list[str]] = [[]]
    for folder in model_folders(root):
        read = read_binary_images if (folder / "images.bin").is_file() else read_text_images
        try:
            found.append(sorted(image.name for image in read(folder)))
        except (Damaged, UserError, ValueError):
            continue
    return max(found, key=len)
