"""The two passes against the usual implementation, and the fast path against its twin."""

from __future__ import annotations

import pytest
import torch

from benchmarks import reference_nerf as reference
from models.nerf.network import NeRF
from models.rendering.compositing import composite, render_weight_from_density
from models.rendering.hierarchical import HierarchicalRenderer
from models.rendering.sampling import (
    sample_lengths,
    stratified_samples,
)
from models.rendering.shading import shade, shade_all
from tests.helpers.models import training_mode
from tests.helpers.networks import lively_field, make_rays


@pytest.fixture
def double():
    """The inverse of a CDF magnifies rounding; in double precision two ways can be compared."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("white", [False, True])
@pytest.mark.parametrize("N_importance", [0, 16])
def test_rendering_is_the_reference(white, N_importance):
    """Same weights: the samples, colours and depths of the usual implementation."""
    fields = [lively_field(0, 64), lively_field(1, 64)]
    models = []
    for field in fields:
        model = reference.ReferenceNeRF(D=6, W=64)
        model.load_state_dict(field.state_dict())
        models.append(model)
    rays = make_rays(64)
    ours = HierarchicalRenderer(
        fields[0], fields[1] if N_importance else None, 24, N_importance, background=float(white)
    )
    with torch.no_grad():
        got = ours(rays)
        expected = reference.render(
            *(models, rays.origins, rays.directions, rays.viewdirs, 2.0, 6.0),
            *(24, N_importance, white),
        )[-1]
    colour, depth, weights, z = expected
    assert 0.05 < weights.sum(1).mean() < 1  # there is something to see, and not everywhere
    torch.testing.assert_close(got.extras["t"], z, atol=1e-7, rtol=0)
    torch.testing.assert_close(got.rgb, colour, atol=2e-6, rtol=0)
    torch.testing.assert_close(got.depth, depth, atol=1e-5, rtol=0)


def test_same_samples_give_the_same_colours_in_single_precision():
    torch.manual_seed(0)
    field, model = NeRF(), reference.ReferenceNeRF()
    with torch.no_grad():
        field.sigma.bias.fill_(0.3)
    model.load_state_dict(field.state_dict())
    rays = make_rays(64)
    t = stratified_samples(rays, 64, False, 1.0, torch.Generator().manual_seed(0))
    deltas = sample_lengths(t, rays)
    with torch.no_grad():
        sigma, rgb = shade(field, rays.points(t), rays.viewdirs, deltas)
        got = composite(render_weight_from_density(sigma, deltas), rgb, t, 1.0)
        colour, depth, weights = reference.volume_render(
            model, rays.origins, rays.directions, rays.viewdirs, t, True
        )
    torch.testing.assert_close(got.extras["weights"], weights, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.rgb, colour, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.depth, depth, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bias", [-4.0, -0.5, 3.0])
@pytest.mark.parametrize("noisy", [False, True])
def test_shading_visible_samples_only_changes_nothing(bias, noisy):
    """Colours, weights and all gradients, for almost empty, mixed and solid scenes."""
    field = lively_field(3)
    with torch.no_grad():
        field.sigma.bias.fill_(bias)
    rays = make_rays(40)
    t = stratified_samples(rays, 20)
    deltas = sample_lengths(t, rays)
    noise = torch.randn(40, 20) if noisy else None
    target = torch.rand(40, 3)
    results = []
    for fast in (True, False):
        field.zero_grad()
        if fast:
            sigma, rgb = shade(field, rays.points(t), rays.viewdirs, deltas, noise)
        else:
            sigma, rgb = shade_all(field, rays.points(t), rays.viewdirs, noise)
        out = composite(render_weight_from_density(sigma, deltas), rgb, t, background=1.0)
        loss = (out.rgb - target).square().mean() + 0.1 * out.depth.mean()
        loss.backward()
        grads = [p.grad.clone() for p in field.parameters() if p.grad is not None]
        results.append((out.rgb, out.extras["weights"], out.depth, *grads))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_shading_an_empty_scene():
    field = lively_field(3)
    with torch.no_grad():
        field.sigma.bias.fill_(-1e4)
    rays = make_rays(4)
    t = stratified_samples(rays, 6)
    sigma, rgb = shade(field, rays.points(t), rays.viewdirs, sample_lengths(t, rays))
    assert sigma.abs().sum() == 0
    (sigma.sum() + rgb.sum()).backward()


def test_training_pass_is_deterministic_by_its_generator():
    renderer = HierarchicalRenderer(lively_field(0), lively_field(1), 8, 8)
    rays = make_rays(16)
    a, b = (renderer.render_train(rays, training_mode(5, 1.0, 1.0)) for _ in range(2))
    assert torch.equal(a["fine"].rgb, b["fine"].rgb)
    c = renderer.render_train(rays, training_mode(6, 1.0, 1.0))
    assert not torch.equal(a["fine"].rgb, c["fine"].rgb)
