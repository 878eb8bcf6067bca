"""The notebook from photos to the GIF, on photos by our own ray tracer."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import torch
from nbclient import NotebookClient
from PIL import Image, ImageSequence

from datasets.demo.raytracer import Solid, World, render
from datasets.demo.solids import Box, Sphere, Vectors
from tests.capture_scene import orbit, pattern
from tests.conftest import ROOT

TINY = (
    "--model voxels --resolution 32 --batch_size 500 "
    "--img_wh 20 15 --max_steps 5 --val_every_steps 5 --val_rays 64 --accelerator cpu"
)


def painted(seed: int, cells: float = 1.0):
    """A texture of coloured noise that lies on all sides of a solid."""
    image = torch.from_numpy(pattern(seed, 1024).astype(np.float32) / 255).pow(2.2)

    def texture(x: Vectors) -> Vectors:
        u = (0.5 + (x[0] + 0.37 * x[2]) / (4 * cells)) * 1023
        v = (0.5 + (x[1] + 0.61 * x[2]) / (4 * cells)) * 1023
        return image[v.long().clamp(0, 1023), u.long().clamp(0, 1023)].T

    return texture


def ray_traced_photos(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """A box and a ball on a patterned floor, seen from all around."""
    world = World(
        (
            Solid(Box((2.0, 2.0, 0.1)), (0, 0, -0.1), painted(1), casts_shadow=False),
            Solid(Box((0.4, 0.3, 0.3)), (0.1, 0, 0.3), painted(2, 0.5)),
            Solid(Sphere(0.3), (-0.5, -0.4, 0.3), painted(3, 0.5)),
        )
    )
    width, height = size
    intrinsics = torch.tensor([width, width, width / 2, height / 2], dtype=torch.float32)
    poses = torch.from_numpy(orbit(count)).float()
    folder.mkdir()
    for i in range(count):
        rgba = render(world, poses[i : i + 1], intrinsics, size, supersampling=2)[0]
        rgb = rgba[..., :3] * rgba[..., 3:] + 0.4 * (1 - rgba[..., 3:])
        pixels = (255 * rgb.clamp(0, 1)).round().byte().numpy()
        Image.fromarray(pixels).save(folder / f"{i:02d}.jpg", quality=95)
    return folder


def test_the_notebook_makes_a_gif_of_photos(tmp_path):
    photos = ray_traced_photos(tmp_path / "photos", 20, (240, 180))
    notebook = nbformat.read(ROOT / "colab/photos_to_gif.ipynb", as_version=4)
    settings = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    settings.source += (
        f"\nPROJECT, WORK, PHOTOS = {str(ROOT)!r}, {str(tmp_path)!r}, {str(photos)!r}"
        f"\nTRAIN_FLAGS = {TINY!r}"
        "\nEVAL_FLAGS = '--split path --n_frames 3 --accelerator cpu'"
    )
    NotebookClient(notebook, timeout=200, kernel_name="python3").execute(cwd=str(tmp_path))
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    text = "".join(o.get("text", "") for o in outputs)
    assert "20 of 20 photos placed, 360" in text
    assert any("image/gif" in o.get("data", {}) for o in outputs)
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 2
    with Image.open(tmp_path / "results/photos/photos.gif") as gif:
        assert sum(1 for _ in ImageSequence.Iterator(gif)) == 3


def test_the_notebook_only_calls_scripts():
    notebook = nbformat.read(ROOT / "colab/photos_to_gif.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert "import torch" not in cell.source
            assert "pycolmap" not in cell.source
            assert not cell.outputs
