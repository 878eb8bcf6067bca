"""Sampling, shading and compositing against closed forms and the usual implementation."""

from __future__ import annotations

import pytest
import torch

from benchmarks import reference_nerf as reference
from geometry.rays import Rays
from models.embedding import Embedding
from models.nerf.network import NeRF
from models.rendering.compositing import composite, composite_weights, transmittance
from models.rendering.depth import mean_t
from models.rendering.hierarchical import HierarchicalRenderer
from models.rendering.image import ImageRenderer
from models.rendering.output import RenderOutput
from models.rendering.sampling import (
    importance_samples,
    merge_samples,
    sample_lengths,
    stratified_samples,
)
from models.rendering.shading import shade, shade_all


def make_rays(count: int, near: float = 2.0, far: float = 6.0, seed: int = 0) -> Rays:
    generator = torch.Generator().manual_seed(seed)
    origins = torch.randn(count, 3, generator=generator)
    directions = torch.randn(count, 3, generator=generator)
    directions = directions / directions.norm(dim=1, keepdim=True)
    ends = torch.full((count,), near), torch.full((count,), far)
    image = torch.zeros(count, dtype=torch.int64)
    return Rays(origins, directions, directions, *ends, image)


def lively_field(seed: int, width: int = 32) -> NeRF:
    """Untrained, but with empty and solid places."""
    torch.manual_seed(seed)
    field = NeRF(D=6, W=width)
    with torch.no_grad():
        field.sigma.weight.mul_(30)
        field.sigma.bias.fill_(-0.5)
    return field


# --- compositing -----------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 2, 7, 100])
def test_homogeneous_medium_has_the_closed_form(samples):
    """opacity = 1 - exp(-sigma (far - near)), for any binning."""
    torch.manual_seed(0)
    deltas = torch.rand(4, samples, dtype=torch.float64)
    deltas = 3.0 * deltas / deltas.sum(1, keepdim=True)
    sigma = torch.tensor([0.0, 0.1, 1.0, 50.0], dtype=torch.float64)[:, None].expand(4, samples)
    weights = composite_weights(sigma, deltas)
    torch.testing.assert_close(weights.sum(1), 1 - torch.exp(-3.0 * sigma[:, 0]))


def test_opaque_sample_hides_what_is_behind():
    sigma = torch.tensor([[0.0, 1e6, 5.0]])
    weights = composite_weights(sigma, torch.ones(1, 3))
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
    assert torch.autograd.gradcheck(lambda s: composite_weights(s, deltas), sigma)


# --- sampling --------------------------------------------------------------------------------


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


# --- field -----------------------------------------------------------------------------------


def test_embedding_is_the_papers():
    x = torch.randn(5, 3)
    torch.testing.assert_close(Embedding(3, 10)(x), reference.encode(x, 10))
    assert Embedding(3, 10).out_channels == 63
    assert Embedding(3, 4)(torch.zeros(2, 7, 3)).shape == (2, 7, 27)


def test_network_is_the_reference():
    torch.manual_seed(0)
    ours = NeRF()
    theirs = reference.ReferenceNeRF()
    theirs.load_state_dict(ours.state_dict())
    x, d = torch.randn(200, 3), torch.nn.functional.normalize(torch.randn(200, 3), dim=1)
    raw, feature = ours.density(x)
    rgb, sigma = theirs(reference.encode(x, 10), reference.encode(d, 4))
    torch.testing.assert_close(raw, sigma[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.color(feature, d), rgb, atol=1e-5, rtol=1e-5)


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
    torch.testing.assert_close(got.t, z, atol=1e-7, rtol=0)
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
        got = composite(composite_weights(sigma, deltas), rgb, t, 1.0)
        colour, depth, weights = reference.volume_render(
            model, rays.origins, rays.directions, rays.viewdirs, t, True
        )
    torch.testing.assert_close(got.weights, weights, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.rgb, colour, atol=1e-5, rtol=0)
    torch.testing.assert_close(got.depth, depth, atol=1e-5, rtol=1e-5)


def test_lengths_count_in_the_units_of_the_directions():
    rays = make_rays(2)
    longer = Rays(
        rays.origins, 3 * rays.directions, rays.viewdirs, rays.near, rays.far, rays.camera_indices
    )
    t = torch.tensor([[1.0, 2.0, 4.0]]).expand(2, 3)
    torch.testing.assert_close(sample_lengths(t, rays)[:, :2], torch.tensor([[1.0, 2.0]] * 2))
    torch.testing.assert_close(sample_lengths(t, longer)[:, :2], torch.tensor([[3.0, 6.0]] * 2))


# --- the fast path and its twin --------------------------------------------------------------


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
        out = composite(composite_weights(sigma, deltas), rgb, t, background=1.0)
        loss = (out.rgb - target).square().mean() + 0.1 * out.depth.mean()
        loss.backward()
        grads = [p.grad.clone() for p in field.parameters() if p.grad is not None]
        results.append((out.rgb, out.weights, out.depth, *grads))
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
    a, b = (renderer.train(rays, 1.0, 1.0, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(a["fine"].rgb, b["fine"].rgb)
    c = renderer.train(rays, 1.0, 1.0, torch.Generator().manual_seed(6))
    assert not torch.equal(a["fine"].rgb, c["fine"].rgb)


# --- images ----------------------------------------------------------------------------------


def test_chunks_make_no_difference():
    renderer = HierarchicalRenderer(lively_field(0), lively_field(1), 8, 8)
    rays = make_rays(50)
    whole = ImageRenderer(renderer, 1000)(rays)
    parts = ImageRenderer(renderer, 7)(rays)
    torch.testing.assert_close(whole.rgb, parts.rgb)
    torch.testing.assert_close(whole.depth, parts.depth)


def test_running_out_of_memory_halves_the_chunk():
    renderer = HierarchicalRenderer(lively_field(0), None, 8, 0)

    def scarce(rays):
        if len(rays) > 5:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return renderer(rays)

    rays = make_rays(33)
    image_renderer = ImageRenderer(scarce, 40)
    torch.testing.assert_close(image_renderer(rays).rgb, ImageRenderer(renderer, 33)(rays).rgb)
    assert image_renderer.rays_at_once == 5

    def broken(rays):
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        ImageRenderer(broken, 40)(rays)


def test_depth_is_that_of_the_surface_or_background():
    picture = RenderOutput(
        torch.zeros(3, 3), torch.tensor([2.0, 0.9, 0.4]), torch.tensor([1.0, 0.6, 0.4])
    )
    torch.testing.assert_close(mean_t(picture), torch.tensor([2.0, 1.5, 0.0]))
