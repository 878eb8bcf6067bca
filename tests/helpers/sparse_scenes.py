"""Captures that are a sparse model and plain photos."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from datasets.sparse.model import registered
from tests.capture_scene import orbit, points_seen

SIZE = (400, 300)


def write_sparse_scene(
    root: Path, count: int = 8, colour: tuple[int, int, int] = (0, 0, 0)
) -> Path:
    """A model of cameras around points on a ball, and photos of one colour."""
    (root / "sparse" / "0").mkdir(parents=True)
    (root / "images").mkdir()
    model = points_seen(orbit(count))
    model.write(root / "sparse" / "0")
    for image in registered(model):
        Image.new("RGB", SIZE, colour).save(root / "images" / image.name)
    return root
