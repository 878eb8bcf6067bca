"""Samples along rays against closed forms and the usual implementation."""

from __future__ import annotations

import pytest
import torch

from benchmarks import reference_nerf as reference
from geometry.rays import Rays
from models.rendering.sampling import (
    importance_samples,
    merge_samples,
    sample_lengths,
    stratified_samples,
)
from tests.helpers.networks import make_rays


def test_stratified_samples_are_even_in_t_or_disparity():
    rays = make_rays(3)
    t = stratified_samples(rays, 5)
    torch.testing.assert_close(t, torch.tensor([2.0, 3, 4, 5, 6]).expand(3, 5))
    disparity = 1 / stratified_samples(rays, 5, use_disp=True)
    torch.testing.assert_close(disparity.diff(dim=1), torch.full((3, 4), (1 / 6 - 1 / 2) / 4))


def test_perturbed_samples_stay_in_their_intervals_and_fill_them():
    rays = make_rays(4000)
    t = stratified_samples(rays, 5, False, 1.0, torch.Generator().manual_seed(1))
    edges = torch.tensor([2.0, 2.5, 3.5, 4.5, 5.5, 6.0])
    assert (t >= edges[:-1]).all()
    assert (t <= edges[1:]).all()
    torch.testing.assert_close(t.mean(0), (edges[1:] + edges[:-1]) / 2, atol=0.02, rtol=0)
    again = stratified_samples(rays, 5, False, 1.0, torch.Generator().manual_seed(1))
    assert torch.equal(t, again)


def test_importance_samples_follow_the_weights():
    """All weight between two middles puts all samples there; random ones follow the shares."""
    t = torch.arange(8.0).expand(20000, 8)
    weights = torch.zeros(20000, 8)
    weights[:, 3], weights[:, 5] = 3.0, 1.0
    drawn = importance_samples(t, weights, 4, torch.Generator().manual_seed(0))
    first = ((drawn > 2.5) & (drawn < 3.5)).double().mean()
    second = ((drawn > 4.5) & (drawn < 5.5)).double().mean()
    assert first.item() == pytest.approx(0.75, abs=0.01)
    assert second.item() == pytest.approx(0.25, abs=0.01)
    inside = drawn[(drawn > 2.5) & (drawn < 3.5)]
    assert inside.mean().item() == pytest.approx(3.0, abs=0.01)


def test_importance_samples_without_randomness_are_the_inverse_cdf():
    torch.manual_seed(0)
    t = torch.rand(6, 10, dtype=torch.float64).sort(dim=1).values
    weights = torch.rand(6, 10, dtype=torch.float64)
    got = importance_samples(t, weights, 7)
    u = torch.linspace(0, 1, 7, dtype=torch.float64).expand(6, 7)
    middle = 0.5 * (t[:, 1:] + t[:, :-1])
    torch.testing.assert_close(got, reference.sample_pdf(middle, weights[:, 1:-1], 7, u))


def test_merged_samples_are_sorted_and_complete():
    a, b = torch.rand(5, 4), torch.rand(5, 3)
    merged = merge_samples(a, b)
    assert (merged.diff(dim=1) >= 0).all()
    torch.testing.assert_close(merged.sum(1), a.sum(1) + b.sum(1))


def test_lengths_count_in_the_units_of_the_directions():
    rays = make_rays(2)
    longer = Rays(
        rays.origins, 3 * rays.directions, rays.viewdirs, rays.near, rays.far, rays.camera_indices
    )
    t = torch.tensor([[1.0, 2.0, 4.0]]).expand(2, 3)
    torch.testing.assert_close(sample_lengths(t, rays)[:, :2], torch.tensor([[1.0, 2.0]] * 2))
    torch.testing.assert_close(sample_lengths(t, longer)[:, :2], torch.tensor([[3.0, 6.0]] * 2))
