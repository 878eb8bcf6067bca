"""Compositing against closed forms."""

from __future__ import annotations

import pytest
import torch

from models.rendering.compositing import composite, render_weight_from_density, transmittance


@pytest.mark.parametrize("samples", [1, 2, 7, 100])
def test_homogeneous_medium_has_the_closed_form(samples):
    """opacity = 1 - exp(-sigma (far - near)), for any binning."""
    torch.manual_seed(0)
    deltas = torch.rand(4, samples, dtype=torch.float64)
    deltas = 3.0 * deltas / deltas.sum(1, keepdim=True)
    sigma = torch.tensor([0.0, 0.1, 1.0, 50.0], dtype=torch.float64)[:, None].expand(4, samples)
    weights = render_weight_from_density(sigma, deltas)
    torch.testing.assert_close(weights.sum(1), 1 - torch.exp(-3.0 * sigma[:, 0]))


def test_opaque_sample_hides_what_is_behind():
    sigma = torch.tensor([[0.0, 1e6, 5.0]])
    weights = render_weight_from_density(sigma, torch.ones(1, 3))
    torch.testing.assert_close(weights, torch.tensor([[0.0, 1.0, 0.0]]))
    rgb = torch.eye(3)[None]
    out = composite(weights, rgb, torch.tensor([[1.0, 2.0, 3.0]]), background=1.0)
    torch.testing.assert_close(out.rgb, torch.tensor([[0.0, 1.0, 0.0]]))
    assert out.depth.item() == 2.0
    assert out.opacity.item() == 1.0


def test_empty_ray_shows_the_background():
    out = composite(torch.zeros(1, 4), torch.rand(1, 4, 3), torch.rand(1, 4), background=0.7)
    torch.testing.assert_close(out.rgb, torch.full((1, 3), 0.7))


def test_transmittance_is_the_product_of_what_passes():
    sigma, deltas = torch.rand(3, 6, dtype=torch.float64), torch.rand(3, 6, dtype=torch.float64)
    passes = torch.exp(-sigma * deltas)
    for i in range(6):
        torch.testing.assert_close(transmittance(sigma, deltas)[:, i], passes[:, :i].prod(1))


def test_compositing_gradients():
    """Random, empty and opaque rays."""
    torch.manual_seed(0)
    sigma = torch.rand(4, 5, dtype=torch.float64)
    sigma[1], sigma[2] = 0.0, 300.0
    deltas = torch.rand(4, 5, dtype=torch.float64) + 0.1
    sigma.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: render_weight_from_density(s, deltas), sigma)
