"""Batches of rays: every pixel once, the right colours, the same again after a resume."""

from __future__ import annotations

import pytest
import torch

from datasets.loaders.ray_loader import RayLoader
from datasets.loaders.selection import Selection
from datasets.loaders.shuffle import Shuffle
from datasets.loaders.view_loader import ViewLoader
from geometry.rays import Bounds
from tests.helpers.photos import two_photos


@pytest.mark.parametrize("n", [1, 2, 3, 100, 4097])
def test_shuffle_is_a_permutation(n):
    order = Shuffle(n, seed=3)(torch.arange(n))
    assert sorted(order.tolist()) == list(range(n))
    assert torch.equal(order, Shuffle(n, seed=3)(torch.arange(n)))


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 63, 64, 1000, 6400])
def test_a_selection_is_what_nonzero_finds(count, share):
    valid = torch.rand(count, generator=torch.Generator().manual_seed(count)) < share
    valid[count // 2] = True
    valid[: count // 3] = False  # whole blocks without any
    selection, found = Selection(valid), valid.nonzero().squeeze(1)
    assert len(selection) == len(found)
    assert torch.equal(selection[torch.arange(len(found))], found)
    order = torch.randperm(len(found))
    assert torch.equal(selection[order], found[order])


def test_shuffle_is_random():
    n = 1 << 14
    order = Shuffle(n, seed=0)(torch.arange(n)).double()
    other = Shuffle(n, seed=1)(torch.arange(n)).double()
    start = torch.arange(n).double()
    for a, b in ((order, start), (order, other), (order[1:], order[:-1])):
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.03
    # Each batch covers the photos: counts in 16 parts are those of a fair die.
    counts = torch.bincount((order[:1024] / n * 16).long(), minlength=16)
    assert ((counts - 64).abs() < 40).all()


@pytest.mark.parametrize("batch_size", [1, 4, 7, 39, 100])
def test_an_epoch_is_each_pixel_once_with_its_ray_and_colour(batch_size):
    photos, cameras = two_photos()
    loader = RayLoader(photos, cameras, Bounds(2.0, 6.0), batch_size, seed=1)
    batches = list(loader)
    assert len(batches) == len(loader) == RayLoader.batches(photos, batch_size)
    rgbs = torch.cat([batch.rgbs for batch in batches])
    pixels = (rgbs * 255).round().long()
    expected = {(0, x, y) for x in range(5) for y in range(3)}
    expected |= {(1, x, y) for x in range(4) for y in range(6)}
    assert {tuple(pixel) for pixel in pixels.tolist()} == expected
    assert len(pixels) == len(expected)
    directions = torch.cat([batch.rays.directions for batch in batches])
    image = torch.cat([batch.rays.camera_indices for batch in batches])
    torch.testing.assert_close(image, pixels[:, 0])
    torch.testing.assert_close(directions, cameras.rays(*pixels.T)[1])


def test_epochs_differ_and_seeds_differ():
    photos, cameras = two_photos()
    loader = RayLoader(photos, cameras, Bounds(2.0, 6.0), 39, seed=1)
    first, second = next(iter(loader)).rgbs, next(iter(loader)).rgbs
    other = next(iter(RayLoader(photos, cameras, Bounds(2.0, 6.0), 39, seed=2))).rgbs
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("step", [0, 3, 10, 25])
def test_going_on_from_a_position(step):
    """The next batch is the same whether the loader was there from the start or not."""
    photos, cameras = two_photos()
    whole = RayLoader(photos, cameras, Bounds(2.0, 6.0), 4, seed=1)
    batches = [batch for _ in range(4) for batch in whole]
    resumed = RayLoader(photos, cameras, Bounds(2.0, 6.0), 4, seed=1)
    resumed.position = batches[step - 1].end if step else 0
    assert torch.equal(next(iter(resumed)).rgbs, batches[step].rgbs)


def test_processes_share_an_epoch():
    photos, cameras = two_photos()
    seen: list = []
    for rank in range(2):
        loader = RayLoader(photos, cameras, Bounds(2.0, 6.0), 5, seed=1, rank=rank, world_size=2)
        batches = list(loader)
        assert len(batches) == 4
        seen += [tuple(p) for batch in batches for p in (batch.rgbs * 255).round().long().tolist()]
    assert len(set(seen)) == 39


def test_masked_pixels_are_never_drawn(tmp_path):
    photos, cameras = two_photos(mask=True, tmp_path=tmp_path)
    loader = RayLoader(photos, cameras, Bounds(2.0, 6.0), 4)
    pixels = torch.cat([(batch.rgbs * 255).round().long() for batch in loader])
    assert sorted(tuple(p) for p in pixels.tolist()) == sorted(
        [(0, x, 1) for x in range(5)] + [(1, x, 1) for x in range(4)]
    )


def test_validation_views_are_whole_or_a_grid():
    photos, cameras = two_photos()
    whole = list(ViewLoader(photos, cameras, Bounds(2.0, 6.0)))
    assert [view.size for view in whole] == [(5, 3), (4, 6)]
    image = (whole[1].rgbs.view(6, 4, 3) * 255).round()
    assert image[5, 2].tolist() == [1, 2, 5]
    torch.testing.assert_close(
        whole[1].rays.directions[5 * 4 + 2],
        cameras.rays(torch.tensor([1]), torch.tensor([2]), torch.tensor([5]))[1][0],
    )
    for view in ViewLoader(photos, cameras, Bounds(2.0, 6.0), max_rays=6):
        assert len(view.rays) == len(view.rgbs) == view.size[0] * view.size[1] <= 6
