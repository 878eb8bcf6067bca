"""Batches without end, of changeable size; random rays; the photos' opacity."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from datasets.loaders.ray_loader import RayBatch, RayLoader
from datasets.photos import Frame, load_photos
from geometry.cameras import make_cameras
from geometry.rays import Bounds
from tests.helpers.photos import two_photos
from tests.scenes import circle_poses, opaque

PIXELS = 39  # of two_photos


def endless(batch_size: int, **others) -> RayLoader:
    photos, cameras = two_photos()
    return RayLoader(photos, cameras, Bounds(2.0, 6.0), batch_size, seed=1, endless=True, **others)


def seen(batch: RayBatch) -> list[tuple[int, ...]]:
    """(image, x, y) of each ray, which the colours of two_photos tell."""
    return [tuple(pixel) for pixel in (batch.rgbs * 255).round().long().tolist()]


@pytest.mark.parametrize("batch_size", [1, 4, 7, 20, 39])
def test_passes_of_whole_batches_only(batch_size):
    per_pass = PIXELS // batch_size
    batches = list(itertools.islice(endless(batch_size), 3 * per_pass))
    assert {len(batch.rgbs) for batch in batches} == {batch_size}
    assert {batch.weight for batch in batches} == {1.0}
    passes = [
        [pixel for batch in batches[i : i + per_pass] for pixel in seen(batch)]
        for i in range(0, len(batches), per_pass)
    ]
    for pixels in passes:  # no pixel twice, and what is too little for a batch is left
        assert len(set(pixels)) == len(pixels) == per_pass * batch_size
    assert passes[0] != passes[1] != passes[2]


def test_a_batch_of_more_rays_than_there_are_pixels():
    sizes = [len(batch.rgbs) for batch in itertools.islice(endless(100), 3)]
    assert sizes == [100, 100, 100]


def test_the_batch_size_may_change_in_between():
    loader = endless(4)
    batches = iter(loader)
    taken = [next(batches), next(batches)]
    loader.batch_size = 9
    taken += [next(batches), next(batches), next(batches)]
    loader.batch_size = 2
    taken += [next(batches), next(batches)]
    assert [len(batch.rgbs) for batch in taken] == [4, 4, 9, 9, 9, 2, 2]
    assert [batch.end for batch in taken] == [4, 8, 17, 26, 35, 37, 39]
    assert len({pixel for batch in taken for pixel in seen(batch)}) == PIXELS
    assert next(batches).end == PIXELS + 2


def test_a_batch_depends_on_its_position_alone():
    loader = endless(4)
    batches = iter(loader)
    for size in (4, 9, 9, 5, 20, 3):
        loader.batch_size = size
        begin = loader.position
        batch = next(batches)
        resumed = endless(size)
        resumed.position = begin
        again = next(iter(resumed))
        assert torch.equal(again.rgbs, batch.rgbs)
        assert torch.equal(again.rays.directions, batch.rays.directions)
        assert again.end == batch.end


def test_processes_share_each_batch():
    together = [seen(batch) for batch in itertools.islice(endless(10), 7)]
    parts = [
        [seen(batch) for batch in itertools.islice(endless(5, rank=rank, world_size=2), 7)]
        for rank in range(2)
    ]
    assert [a + b for a, b in zip(*parts, strict=True)] == together


def test_random_rays_are_those_of_training_pixels(tmp_path):
    photos, cameras = two_photos(mask=True, tmp_path=tmp_path)  # all rows but y = 1 are masked
    loader = RayLoader(photos, cameras, Bounds(2.0, 6.0), 4, endless=True)
    rays = loader.draw(200, torch.Generator().manual_seed(0))
    allowed = torch.tensor([(0, x, 1) for x in range(5)] + [(1, x, 1) for x in range(4)])
    directions = cameras.rays(*allowed.T)[1]
    # By differences: products of float32 round by more than the test allows on some processors.
    by_differences = "donot_use_mm_for_euclid_dist"
    distance = torch.cdist(rays.directions, directions, compute_mode=by_differences)
    assert float(distance.min(dim=1).values.max()) < 1e-5  # each is one of them
    assert float(distance.min(dim=0).values.max()) < 1e-5  # and each of them is drawn
    assert torch.equal(rays.camera_indices, allowed[distance.argmin(dim=1), 0])
    again = loader.draw(200, torch.Generator().manual_seed(0))
    assert torch.equal(again.directions, rays.directions)
    assert loader.position == 0


# --- opacity ---------------------------------------------------------------------------------


def half_seen(height: int = 3, width: int = 4) -> np.ndarray:
    """An RGBA photo; alpha rises from left to right."""
    image = np.full((height, width, 4), 200, dtype=np.uint8)
    image[..., 3] = np.linspace(0, 255, width).round()
    return image


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_opacity_is_kept_and_composited(background):
    image = half_seen()
    frames = [Frame("clear", (4, 3), array=image), Frame("solid", (4, 3), array=image[..., :3])]
    photos = load_photos(frames, background, keep_alpha=True)
    assert photos.alpha is not None
    assert photos.alpha.view(2, 3, 4)[0].tolist() == image[..., 3].tolist()
    assert photos.alpha.view(2, 3, 4)[1].unique().tolist() == [255]
    alpha = torch.from_numpy(image[..., 3:]).float() / 255
    expected = alpha * 200 + (1 - alpha) * 255 * background
    assert float((photos.image(0).float() - expected).abs().max()) <= 1
    assert photos.image(1).unique().tolist() == [200]


def test_photos_without_transparency_have_no_opacity():
    frame = Frame("solid", (4, 3), array=opaque(half_seen()))
    assert load_photos([frame], 0.0, keep_alpha=True).alpha is None
    assert load_photos([Frame("clear", (4, 3), array=half_seen())], 0.0).alpha is None


def test_batches_bring_the_opacity_of_their_pixels():
    frames = [Frame(str(i), (4, 3), array=half_seen()) for i in range(2)]
    photos = load_photos(frames, 0.0, keep_alpha=True)
    cameras = make_cameras(circle_poses(2), [(5.0, 5.0, 2.0, 1.5)] * 2, [(4, 3)] * 2)
    loader = RayLoader(photos, cameras, Bounds(2.0, 6.0), 5, endless=True)
    for batch in itertools.islice(loader, 8):
        assert batch.alpha is not None
        # Before black, the colour is the opacity times 200.
        assert float((batch.rgbs[:, 0] * 255 - batch.alpha * 200).abs().max()) < 1.01
    without = RayLoader(load_photos(frames, 0.0), cameras, Bounds(2.0, 6.0), 5)
    assert next(iter(without)).alpha is None
