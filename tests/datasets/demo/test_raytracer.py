"""Rays against solids: hits worked out by hand, normals, coverage, shadows."""

from __future__ import annotations

import math

import pytest
import torch

from datasets.demo.raytracer import Solid, World, render
from datasets.demo.solids import Box, Frustum, Shape, Sphere, Torus

EXACT = torch.float64


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=EXACT)[:, None]


# A shape, a ray (origin, direction), where it hits, and the normal there; worked out by hand.
HITS = [
    (Sphere(1.0), (-3, 0, 0), (1, 0, 0), 2.0, (-1, 0, 0)),
    (Sphere(1.0), (-3, 0.6, 0), (1, 0, 0), 2.2, (-0.8, 0.6, 0)),
    (Sphere(1.0), (-3, 1.1, 0), (1, 0, 0), math.inf, None),
    (Sphere(1.0), (3, 0, 0), (1, 0, 0), math.inf, None),  # behind the ray
    (Box((1.0, 2.0, 3.0)), (-4, 0.5, 0.5), (1, 0, 0), 3.0, (-1, 0, 0)),
    (Box((1.0, 2.0, 3.0)), (0.5, 0.5, 7), (0, 0, -1), 4.0, (0, 0, 1)),
    (Box((1.0, 2.0, 3.0)), (-4, -3, 0), (0.6, 0.8, 0), 5.0, (-1, 0, 0)),
    (Box((1.0, 2.0, 3.0)), (-4, 2.5, 0), (1, 0, 0), math.inf, None),
    (Frustum(1.0, 1.0, 0.5), (-3, 0, 0.2), (1, 0, 0), 2.0, (-1, 0, 0)),
    (Frustum(1.0, 1.0, 0.5), (0.3, 0.4, 2), (0, 0, -1), 1.5, (0, 0, 1)),
    (Frustum(1.0, 1.0, 0.5), (0.3, 0.4, -2), (0, 0, 1), 1.5, (0, 0, -1)),
    (Frustum(1.0, 1.0, 0.5), (1.1, 0, 2), (0, 0, -1), math.inf, None),
    (Frustum(1.0, 1.0, 0.5), (-3, 0, 0.6), (1, 0, 0), math.inf, None),
    # A cone of radius 1 and height 2: at z = 0 its radius is 1/2, its side rises 2 over 1.
    (Frustum(1.0, 0.0, 1.0), (-3, 0, 0), (1, 0, 0), 2.5, (-2 / 5**0.5, 0, 1 / 5**0.5)),
    (Frustum(1.0, 0.0, 1.0), (-0.5, 0, 3), (0, 0, -1), 3.0, (-2 / 5**0.5, 0, 1 / 5**0.5)),
    (Frustum(1.0, 0.0, 1.0), (0.9, 0, -3), (0, 0, 1), 2.0, (0, 0, -1)),
    (Frustum(1.0, 0.0, 1.0), (-3, 0, 1.2), (1, 0, 0), math.inf, None),  # the other nappe
    (Torus(1.0, 0.25), (-3, 0, 0), (1, 0, 0), 1.75, (-1, 0, 0)),
    (Torus(1.0, 0.25), (0, 1, 2), (0, 0, -1), 1.75, (0, 0, 1)),
    (Torus(1.0, 0.25), (0, 1.15, 2), (0, 0, -1), 1.8, (0, 0.6, 0.8)),
    (Torus(1.0, 0.25), (0, 0.1, 2), (0, 0, -1), math.inf, None),  # through the hole
]


@pytest.mark.parametrize(("shape", "o", "d", "t", "normal"), HITS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hits_worked_out_by_hand(shape, o, d, t, normal, dtype):
    o, d = column(*o).to(dtype), column(*d).to(dtype)
    found = shape.distance(o, d)
    torch.testing.assert_close(found, found.new_tensor([t]), atol=2e-5, rtol=0)
    if normal is not None:
        found_normal = shape.normal(o + found * d)
        torch.testing.assert_close(found_normal, column(*normal).to(dtype), atol=1e-4, rtol=0)


def inside(shape: Shape, x: torch.Tensor) -> torch.Tensor:
    """How far a point is inside, up to a factor: negative outside. Written from definitions."""
    across = (x[0] ** 2 + x[1] ** 2).sqrt()
    match shape:
        case Sphere(radius):
            return radius - x.norm(dim=0)
        case Box(half):
            return (torch.tensor(half, dtype=x.dtype)[:, None, None] - x.abs()).amin(0)
        case Frustum(bottom, top, half):
            wide = bottom + (top - bottom) * (x[2] + half) / (2 * half)
            return torch.minimum(wide - across, half - x[2].abs())
        case Torus(major, minor):
            return minor - ((across - major) ** 2 + x[2] ** 2).sqrt()
    raise AssertionError(shape)


SHAPES = [
    Sphere(0.7),
    Box((0.5, 0.3, 0.6)),
    Frustum(0.8, 0.3, 0.5),
    Frustum(0.2, 0.7, 0.5),
    Frustum(0.6, 0.0, 0.7),
    Frustum(0.6, 0.6, 0.2),
    Torus(0.5, 0.2),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hit_is_the_first_point_inside(shape):
    generator = torch.Generator().manual_seed(1)
    o = torch.randn(3, 800, dtype=EXACT, generator=generator)
    o = 2 * o / o.norm(dim=0)
    d = torch.randn(3, 800, dtype=EXACT, generator=generator) * 0.4 - o
    d = d / d.norm(dim=0)
    t = shape.distance(o, d)
    steps = torch.linspace(0, 4, 4001, dtype=EXACT)[:, None]
    values = inside(shape, o[:, None] + steps * d[:, None])
    reached = (values > 0).any(0)
    first = steps[(values > 0).int().argmax(0), 0]
    # A ray that grazes may be a hit between two steps.
    assert bool((t[reached] < math.inf).all())
    assert bool((values[:, ~reached & (t < math.inf)].amax(0) > -1e-3).all())
    assert float((t - first)[reached].max()) < 1e-6
    assert float((first - t)[reached].quantile(0.9)) < 1.1e-3
    hit = t < math.inf
    x = (o + torch.where(hit, t, 0.0) * d)[:, hit]
    assert float(inside(shape, x[:, None]).abs().max()) < 1e-4
    normal = shape.normal(x)
    assert float((normal.norm(dim=0) - 1).abs().max()) < 1e-9
    assert float((x.norm(dim=0)).max()) <= shape.radius + 1e-4
    # Outwards: a small step along the normal leaves the solid.
    assert bool((inside(shape, (x + 1e-3 * normal)[:, None]) < 0).all())


def test_normals_are_finite_at_poles_and_edges():
    cases: list[tuple[Shape, tuple[float, float, float]]] = [
        (Frustum(0.5, 0.0, 0.5), (0, 0, 0.5)),
        (Frustum(0.5, 0.5, 0.5), (0.5, 0, 0.5)),
        (Box((0.5, 0.5, 0.5)), (0.5, 0.5, 0.5)),
        (Sphere(0.5), (0, 0, -0.5)),
    ]
    for shape, x in cases:
        assert float(shape.normal(column(*x)).norm()) == pytest.approx(1, abs=1e-6)


def test_nearest_of_several_solids_and_their_places():
    grey = Solid(Sphere(0.5), (0, 0, 0), torch.ones_like)
    turned = ((0.6, -0.8, 0), (0.8, 0.6, 0), (0, 0, 1))
    box = Solid(Box((1, 0.1, 0.1)), (0, 0, 2), torch.ones_like, rotation=turned)
    world = World((grey, box))
    down = column(0, 0, -1).expand(3, 4)
    o = torch.tensor([[0, 0, 9], [0.58, 0.8, 9], [-0.6, 0.8, 9], [0.3, -0.1, 9.0]], dtype=EXACT).T
    t, which = world.trace(o, down)
    assert which.tolist() == [1, 1, -1, 0]
    expected = [6.9, 6.9, math.inf, 9 - math.sqrt(0.25 - 0.1)]
    torch.testing.assert_close(t, torch.tensor(expected, dtype=EXACT))


def test_a_pixel_half_covered_has_half_alpha_and_full_colour():
    wall = Solid(Box((5.0, 5.0, 0.1)), (5.0, 0, -0.1), lambda x: 0 * x + 0.5, casts_shadow=False)
    c2w = torch.eye(4)[None, :3] * 1.0
    c2w[0, 2, 3] = 3.0
    image = render(World((wall,)), c2w, torch.tensor([6.0, 6.0, 2.5, 2.5]), (5, 5), 2)[0]
    assert image[2, :, 3].tolist() == [0, 0, 0.5, 1, 1]
    torch.testing.assert_close(image[2, 2, :3], image[2, 3, :3], atol=0.05, rtol=0)
    assert float(image[2, 2, :3].min()) > 0.3


def test_shadow_falls_where_the_key_light_is_hidden():
    floor = Solid(Box((3.0, 3.0, 0.1)), (0, 0, -0.1), lambda x: 0 * x + 0.5, mirror=(0, 0, 0))
    ball = Solid(Sphere(0.3), (0, 0, 0.9), torch.ones_like)
    world = World((floor, ball))
    light = torch.tensor(world.lights.key_centre)
    # Where the line from the light through the ball's centre meets the floor.
    ball_centre = torch.tensor(ball.centre)
    dark = ball_centre + (ball_centre - light) * (0.9 / (light[2] - 0.9))
    points = torch.stack([dark, dark * torch.tensor([-1.0, -1.0, 1.0])], dim=1)
    origins = points + torch.tensor([[0.0], [0.0], [0.5]])
    down = torch.tensor([[0.0], [0.0], [-1.0]]).expand(3, 2)
    samples = torch.tensor([[0.0, 0.0], [0.5, 0.5], [-0.5, 0.5]])
    colours, hit = world.colour(origins, down, samples)
    assert bool(hit.all())
    assert float(colours[:, 0].sum()) < 0.6 * float(colours[:, 1].sum())
