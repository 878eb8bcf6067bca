"""Photos as they are read: modes, masks, memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import load_scene
from datasets.config import SceneConfig
from datasets.photos import Frame, load_photos
from errors import UserError
from tests.conftest import ROOT
from tests.scenes import write_blender


def test_a_mask_that_hides_a_whole_photo_is_a_mistake(tmp_path):
    Image.fromarray(np.zeros((3, 5), np.uint8)).save(tmp_path / "0.png")
    frame = Frame("0", (5, 3), array=np.zeros((3, 5, 3), np.uint8), mask_path=tmp_path / "0.png")
    with pytest.raises(UserError, match=r"0\.png: hides all of its photo"):
        load_photos([frame], 0.0)


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (200, 100, 0, 0), (255, 255, 255)),
        ("RGBA", (200, 100, 0, 255), (200, 100, 0)),
        ("LA", (100, 0), (255, 255, 255)),
        ("I;16", 25700, (100, 100, 100)),
        ("P", 0, (0, 0, 0)),
    ],
)
def test_images_of_any_mode(tmp_path, mode, value, expected):
    path = tmp_path / "image.png"
    Image.new(mode, (4, 3), value).save(path)
    photos = load_photos([Frame("image", (4, 3), path)], background=1.0)
    assert photos.image(0)[1, 2].tolist() == pytest.approx(expected, abs=1)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_of_a_hundred_photos(tmp_path):
    """100 photos of 800x800 RGBA, as the synthetic scenes have: under 600 MB for all."""
    root = write_blender(tmp_path / "ball", train=100, size=8)
    image = np.random.default_rng(0).integers(0, 255, (800, 800, 4), dtype=np.uint8)
    Image.fromarray(image).save(root / "train/r_0.png", compress_level=0)
    for i in range(1, 100):
        (root / f"train/r_{i}.png").unlink()
        (root / f"train/r_{i}.png").symlink_to(root / "train/r_0.png")
    code = (
        "from datasets import load_scene; from datasets.config import SceneConfig\n"
        "from datasets.loaders.ray_loader import RayLoader\n"
        f"scene = load_scene(SceneConfig(root_dir={str(root)!r}))\n"
        "train = scene.splits['train']\n"
        "loader = RayLoader(scene.photos(train), scene.cameras[train], scene.bounds, 1024)\n"
        "assert len(loader) == 62500 and len(next(iter(loader)).rays) == 1024\n"
        # Not ru_maxrss, which begins with what the parent process held.
        "status = open('/proc/self/status').read()\n"
        "print(int(status.split('VmHWM:')[1].split()[0]) // 1024)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert int(output) < 600


def test_scene_options_are_enough_for_a_scene(tmp_path):
    scene = load_scene(SceneConfig(root_dir=str(write_blender(tmp_path / "ball"))))
    assert scene.name == "ball"
