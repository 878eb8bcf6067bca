"""How views are measured, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.loaders.view_loader import ViewLoader
from datasets.photos import Frame, load_photos
from datasets.scene import Scene
from evaluation.pictures import measure_rays
from evaluation.protocol import Protocol, describe, measure_view
from evaluation.views import View
from geometry.cameras import make_cameras
from geometry.rays import Bounds
from models.rendering.output import RenderOutput
from tests.helpers.photos import two_photos
from tests.scenes import circle_poses

PLAIN, RIGHT_HALVES = Protocol(), Protocol(right_halves=True)


def view_of(image: np.ndarray) -> View:
    """An opaque view that shows the image."""
    shape = image.shape[:2]
    return View(image, np.ones(shape, np.float32), np.ones(shape, np.float16), 0.0)


def some_photo(height: int = 20, width: int = 31) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 160, (height, width, 3), dtype=np.uint8)


def test_the_saved_image_is_measured():
    photo = some_photo()
    measured = measure_view(view_of(photo + 10), photo, None, 0.0, PLAIN)
    assert measured["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)
    assert measured["ssim"] < 1
    assert measure_view(view_of(photo), photo, None, 0.0, PLAIN) == {"psnr": 100.0, "ssim": 1.0}


def test_what_a_mask_leaves_out_counts_nothing():
    photo = some_photo()
    spoilt, valid = photo.copy(), np.ones(photo.shape[:2], dtype=bool)
    spoilt[:5], valid[:5] = 0, False
    assert measure_view(view_of(spoilt), photo, valid, 0.0, PLAIN)["psnr"] == 100.0


def test_right_halves_are_measured_in_the_photos_own_light():
    image = some_photo()
    photo = (0.8 * image + 20).round().astype(np.uint8)
    assert measure_view(view_of(image), photo, None, 0.0, PLAIN)["psnr"] < 40
    assert measure_view(view_of(image), photo, None, 0.0, RIGHT_HALVES)["psnr"] > 55
    photo[:, -16:] = 0  # is measured, and not fitted
    assert measure_view(view_of(image), photo, None, 0.0, RIGHT_HALVES)["psnr"] < 10


@pytest.mark.parametrize("right_half", [False, True])
def test_validation_measures_whole_views_as_evaluation_does(right_half):
    frame = Frame("view", (30, 20), array=some_photo(20, 30))
    photos = load_photos([frame], 0.0)
    cameras = make_cameras(circle_poses(1), [(30.0, 30.0, 15.0, 10.0)], [(30, 20)])
    batch = next(iter(ViewLoader(photos, cameras, Bounds(2.0, 6.0))))
    generator = torch.Generator().manual_seed(0)
    rgb = (batch.rgbs + 0.1 * torch.rand(batch.rgbs.shape, generator=generator)).clamp(0, 1)
    opacity = torch.ones(len(rgb))
    _, psnr = measure_rays(RenderOutput(rgb, opacity, opacity), batch, right_half, 0.0)
    width, height = batch.size
    image = (rgb * 255).round().to(torch.uint8).view(height, width, 3).numpy()
    photo = photos.image(0).numpy()
    protocol = Protocol(right_halves=right_half)
    measured = measure_view(view_of(image), photo, None, 0.0, protocol)
    # The right half is exposed before it is rounded, or after.
    assert psnr == pytest.approx(measured["psnr"], abs=0.1 if right_half else 1e-3)


def description(splits: dict[str, list[int]], split: str, protocol: Protocol = PLAIN) -> dict:
    photos, cameras = two_photos()
    scene = Scene("lego", cameras, (None, None), splits, Bounds(2.0, 6.0))
    views = [view_of(photos.image(i).numpy()) for i in splits[split]]
    rows = [{"name": str(i), "psnr": 20.0 + i, "ssim": 0.5} for i in splits[split]]
    return describe(scene, split, "lego", views, rows, protocol, False, "blender", 8)


def test_test_photos_that_validation_looked_at_are_said_to_be_so():
    same = description({"train": [0], "val": [0, 1], "test": [0, 1]}, "test")
    assert same["val_is_test"] is True
    assert "validation looked at these photos" in same["protocol"]
    apart = description({"train": [0], "val": [0], "test": [1]}, "test")
    assert apart["val_is_test"] is False
    assert "validation looked" not in apart["protocol"]
    assert "val_is_test" not in description({"train": [0], "val": [0], "test": [1]}, "val")


def test_means_sizes_and_published_figures():
    report = description({"train": [0], "val": [0], "test": [0, 1]}, "test", Protocol(exposed=True))
    assert report["mean"] == {"psnr": 20.5, "ssim": 0.5}
    assert "2 views of 4x6, 5x3" in report["protocol"]
    assert report["published"]["psnr"]["NeRF"] == 32.54
    assert any("exposed" in words for words in report["published"]["differs"])
    splits = {"train": [0], "val": [0], "test": [0, 1]}
    assert "published" not in description(splits, "test", RIGHT_HALVES)
