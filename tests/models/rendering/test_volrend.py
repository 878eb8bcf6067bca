"""Points along rays and the volume rendering integral, as in the class project's handout."""

from __future__ import annotations

import math

import torch

from models.rendering.compositing import composite, render_weight_from_density, volrend
from models.rendering.sampling import sample_along_rays


def test_points_along_rays():
    rays_o, rays_d = torch.tensor([[0.0, 0, 1]]), torch.tensor([[0.0, 1, 0]])
    points = sample_along_rays(rays_o, rays_d, 2.0, 6.0, 5, perturb=False)
    torch.testing.assert_close(
        points[0], torch.tensor([[0.0, 2, 1], [0, 3, 1], [0, 4, 1], [0, 5, 1], [0, 6, 1]])
    )
    torch.manual_seed(0)
    many = sample_along_rays(
        rays_o.expand(4000, 3), rays_d.expand(4000, 3), 2.0, 6.0, 5, perturb=True
    )[..., 1]
    assert bool((many[:, 1:] >= many[:, :-1]).all())
    edges = torch.tensor([2, 2.5, 3.5, 4.5, 5.5, 6])
    assert bool((many >= edges[:-1]).all())
    assert bool((many <= edges[1:]).all())
    torch.testing.assert_close(many.mean(0), (edges[1:] + edges[:-1]) / 2, atol=0.03, rtol=0)


def test_volrend_of_a_homogeneous_medium():
    # Whatever the steps, light is left over as exp(-sigma (far - near)).
    for count in (1, 7, 64):
        sigmas = torch.full((2, count, 1), 0.7, dtype=torch.float64)
        rgbs = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64).expand(2, count, 3)
        expected = rgbs[:, 0] * (1 - math.exp(-0.7 * 4))
        torch.testing.assert_close(volrend(sigmas, rgbs, 4 / count), expected)


def test_volrend_is_the_sum_written_out():
    torch.manual_seed(0)
    sigmas, rgbs = 3 * torch.rand(4, 9), torch.rand(4, 9, 3)
    deltas = torch.rand(4, 9)
    expected = torch.zeros(4, 3)
    for r in range(4):
        left = 1.0
        for i in range(9):
            through = math.exp(-float(sigmas[r, i] * deltas[r, i]))
            expected[r] += left * (1 - through) * rgbs[r, i]
            left *= through
    torch.testing.assert_close(volrend(sigmas, rgbs, deltas), expected)
    torch.testing.assert_close(volrend(sigmas[..., None], rgbs, deltas[..., None]), expected)
    weights = render_weight_from_density(sigmas, deltas)
    main = composite(weights, rgbs, torch.zeros(4, 9), background=1.0).rgb
    torch.testing.assert_close(volrend(sigmas, rgbs, deltas, background=1.0), main)


def test_volrend_gives_the_class_project_s_values():
    torch.manual_seed(42)
    sigmas, rgbs = torch.rand(10, 64, 1), torch.rand(10, 64, 3)
    colours = volrend(sigmas, rgbs, (6.0 - 2.0) / 64)
    # The first and last row of what the handout of Berkeley's CS180 prints.
    expected = torch.tensor([[0.5006, 0.3728, 0.4728], [0.3253, 0.3587, 0.4215]])
    torch.testing.assert_close(colours[[0, -1]], expected, atol=1e-4, rtol=0)
