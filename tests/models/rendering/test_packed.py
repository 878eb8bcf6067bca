"""Packed compositing is the dense one."""

from __future__ import annotations

import pytest
import torch

from models.grids.samples import RaySamples
from models.rendering.compositing import composite, render_weight_from_density
from models.rendering.packed import (
    accumulate_along_rays,
    composite_packed,
    packed_weight_from_density,
)


def pack(ray: torch.Tensor, deltas: torch.Tensor, n_rays: int) -> RaySamples:
    """Samples one after the other from the start of each ray."""
    counts = torch.bincount(ray, minlength=n_rays)
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    cell, within = torch.zeros(len(ray), dtype=torch.int32), torch.zeros(3, len(ray))
    return RaySamples(ray, deltas.cumsum(0), deltas, deltas.cumsum(0), cell, within, starts)


def lengths(*counts: int) -> tuple[torch.Tensor, RaySamples]:
    """Packed samples with random steps, so many on each ray; and their densities."""
    generator = torch.Generator().manual_seed(sum(counts))
    ray = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts, dtype=torch.long))
    deltas = torch.rand(len(ray), generator=generator, dtype=torch.double) + 0.01
    sigma = 3 * torch.rand(len(ray), generator=generator, dtype=torch.double)
    return sigma, pack(ray, deltas, len(counts))


@pytest.mark.parametrize("counts", [(3, 0, 7, 1), (0, 0), (), (5,), (0, 2, 0)])
def test_packed_compositing_is_the_dense_one(counts):
    sigma, samples = lengths(*counts)
    generator = torch.Generator().manual_seed(0)
    rgb = torch.rand(len(sigma), 3, generator=generator, dtype=torch.double)
    sigma.requires_grad_()
    rgb.requires_grad_()
    packed = composite_packed(packed_weight_from_density(sigma, samples), rgb, samples, 0.4)
    assert packed.rgb.shape == (len(counts), 3)

    start = 0
    for ray, count in enumerate(counts):
        part = slice(start, start + count)
        start += count
        one = [v[part][None] for v in (sigma, samples.deltas, rgb, samples.t)]
        if count == 0:
            assert packed.opacity[ray] == 0
            torch.testing.assert_close(packed.rgb[ray], torch.full_like(packed.rgb[ray], 0.4))
            continue
        dense = composite(render_weight_from_density(one[0], one[1]), one[2], one[3], 0.4)
        for name in ("rgb", "depth", "opacity"):
            torch.testing.assert_close(getattr(packed, name)[ray], getattr(dense, name)[0])
        change = torch.randn(3, dtype=torch.double)
        ours, theirs = (
            torch.autograd.grad(
                (picture.rgb[i] * change).sum() + picture.depth[i] + picture.opacity[i] ** 2,
                (sigma, rgb),
                retain_graph=True,
            )
            for picture, i in ((packed, ray), (dense, 0))
        )
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)


def test_packed_gradients():
    sigma, samples = lengths(3, 0, 4, 1)
    rgb = torch.rand(len(sigma), 3, dtype=torch.double)

    def function(sigma, rgb):
        picture = composite_packed(packed_weight_from_density(sigma, samples), rgb, samples, 1.0)
        return picture.rgb, picture.depth, picture.opacity

    sigma[2] = 0.5
    inputs = (sigma.requires_grad_(), rgb.requires_grad_())
    assert torch.autograd.gradcheck(function, inputs)


def test_a_long_batch_loses_no_precision():
    """Rays late in a batch are as exact in single precision as the first."""
    ray = torch.arange(20000).repeat_interleave(8)
    deltas = torch.full((len(ray),), 0.1)
    samples = pack(ray, deltas, 20000)
    weights = packed_weight_from_density(torch.full_like(deltas, 2.0), samples).view(-1, 8)
    assert torch.equal(weights[0].expand_as(weights), weights)


def test_sums_and_choices_of_samples():
    _, samples = lengths(2, 0, 3)
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    assert accumulate_along_rays(values, samples.ray_indices, 3).tolist() == [3, 0, 12]
    some = samples.select(torch.tensor([False, True, False, True, True]))
    assert some.ray_indices.tolist() == [0, 2, 2]
    assert some.starts.tolist() == [0, 1, 1, 3]
    assert some.place.tolist() == [0, 0, 1]
