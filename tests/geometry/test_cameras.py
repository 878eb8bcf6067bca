"""Cameras and NDC against hand-computed values and independent formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from geometry.cameras import Cameras, make_cameras, pixel_to_camera, pixel_to_ray, transform
from geometry.ndc import NDC
from geometry.rays import Bounds, cast_rays, image_rays
from tests.scenes import circle_poses


@pytest.fixture
def cameras():
    intrinsics = [(50.0, 60.0, 20.0, 15.0)] * 5
    return make_cameras(circle_poses(5), intrinsics, [(40, 30)] * 5)


def test_hand_computed_camera():
    """At (1, 2, 3), turned by 90 degrees about z: right is +y, up is -x, forward is -z."""
    c2w = torch.tensor([[0.0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3]])
    intrinsics = torch.tensor([10.0, 20.0, 4.0, 3.0])
    point = pixel_to_camera(intrinsics, torch.tensor([6.0, 7.0]), 2.0)
    torch.testing.assert_close(point, torch.tensor([0.4, -0.4, -2.0]))
    torch.testing.assert_close(transform(c2w, point), torch.tensor([1.4, 2.4, 1.0]))
    origin, direction = pixel_to_ray(intrinsics, c2w, torch.tensor([6.0, 7.0]))
    torch.testing.assert_close(origin, torch.tensor([1.0, 2.0, 3.0]))
    expected = torch.tensor([0.2, 0.2, -1.0]) / math.sqrt(1.08)
    torch.testing.assert_close(direction, expected)


def test_rays_are_the_inverse_of_projection(cameras):
    image = torch.tensor([0, 2, 4, 4])
    x, y = torch.tensor([0, 39, 7, 20]), torch.tensor([0, 29, 11, 15])
    origins, directions = cameras.rays(image, x, y)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(4))
    for i in range(4):
        c2w = cameras.c2w[image[i]].numpy()
        point = c2w[:, :3].T @ ((origins[i] + 3.7 * directions[i]).numpy() - c2w[:, 3])
        fx, fy, cx, cy = cameras.intrinsics[image[i]].tolist()
        u, v = cx + fx * point[0] / -point[2], cy - fy * point[1] / -point[2]
        # Pixel centres are at +0.5.
        np.testing.assert_allclose([u, v], [float(x[i]) + 0.5, float(y[i]) + 0.5], atol=1e-4)


def test_batches_of_any_shape_agree(cameras):
    uv = torch.rand(6, 4, 2) * 30
    whole = pixel_to_ray(cameras.intrinsics[0], cameras.c2w[0], uv)
    flat = pixel_to_ray(cameras.intrinsics[0], cameras.c2w[0], uv.view(-1, 2))
    for a, b in zip(whole, flat, strict=True):
        torch.testing.assert_close(a.reshape(-1, 3), b)


def test_resized_cameras_see_the_same(cameras):
    small = cameras.resized(20, 10)
    a = pixel_to_ray(cameras.intrinsics[1], cameras.c2w[1], torch.tensor([10.0, 6.0]))
    b = pixel_to_ray(small.intrinsics[1], small.c2w[1], torch.tensor([5.0, 2.0]))
    torch.testing.assert_close(a, b)
    assert small.size.tolist() == [[20, 10]] * 5


def test_plain_values_round_trip(cameras):
    again = Cameras.from_dict(cameras.to_dict())
    assert torch.equal(again.c2w, cameras.c2w)
    assert torch.equal(again.intrinsics, cameras.intrinsics)
    assert torch.equal(again.size, cameras.size)


def test_image_rays_go_row_by_row(cameras):
    rays = image_rays(cameras, Bounds(2.0, 6.0), 3)
    assert len(rays) == 40 * 30
    _, expected = cameras.rays(torch.tensor([3]), torch.tensor([7]), torch.tensor([2]))
    torch.testing.assert_close(rays.directions[2 * 40 + 7], expected[0])
    assert rays.near.unique().tolist() == [2.0]
    grid = image_rays(cameras, Bounds(2.0, 6.0), 3, stride=4)
    assert len(grid) == 10 * 7
    torch.testing.assert_close(grid.directions[0], rays.directions[2 * 40 + 2])


def test_ndc_keeps_points_on_rays():
    """The mapped ray meets the mapped points, at a parameter that grows from 0 to 1."""
    ndc = NDC(1.6, 2.1, near=1.0)
    torch.manual_seed(0)
    origins = torch.randn(50, 3, dtype=torch.float64) * torch.tensor([0.3, 0.3, 0.1])
    directions = torch.randn(50, 3, dtype=torch.float64) * 0.3 - torch.tensor([0.0, 0.0, 1.0])
    directions = directions / directions.norm(dim=1, keepdim=True)
    o, d = ndc.rays(origins, directions)
    to_plane = -(1 + origins[:, 2]) / directions[:, 2]
    for beyond in (0.0, 0.5, 30.0):
        distance = to_plane + beyond
        mapped = ndc.points(origins + distance[:, None] * directions)
        t = (mapped[:, 2] - o[:, 2]) / d[:, 2]
        torch.testing.assert_close(o + t[:, None] * d, mapped)
        assert ((t >= -1e-9) & (t < 1)).all()
        torch.testing.assert_close(
            ndc.distance(t, origins, directions, limit=1e9), distance, rtol=1e-6, atol=1e-8
        )


def test_ndc_agrees_with_the_papers_equations():
    """Equations 25 and 26 written out, for a camera of focal length f."""
    width, height, f, n = 40.0, 30.0, 50.0, 1.0
    o = torch.tensor([[0.1, -0.2, 0.05]])
    d = torch.tensor([[0.2, 0.1, -0.9]])
    t = -(n + o[:, 2]) / d[:, 2]
    p = o + t[:, None] * d
    expected_o = torch.stack(
        [
            -f / (width / 2) * p[:, 0] / p[:, 2],
            -f / (height / 2) * p[:, 1] / p[:, 2],
            1 + 2 * n / p[:, 2],
        ],
        dim=1,
    )
    expected_d = torch.stack(
        [
            -f / (width / 2) * (d[:, 0] / d[:, 2] - p[:, 0] / p[:, 2]),
            -f / (height / 2) * (d[:, 1] / d[:, 2] - p[:, 1] / p[:, 2]),
            -2 * n / p[:, 2],
        ],
        dim=1,
    )
    got_o, got_d = NDC(2 * f / width, 2 * f / height, n).rays(o, d)
    torch.testing.assert_close(got_o, expected_o)
    torch.testing.assert_close(got_d, expected_d)


def test_a_ray_along_the_near_plane_is_finite_in_ndc():
    ndc = NDC(1.6, 2.1)
    origins, directions = torch.zeros(2, 3), torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, -0.0]])
    o, d = ndc.rays(origins, directions)
    assert torch.isfinite(o).all()
    assert torch.isfinite(d).all()
    far = ndc.distance(torch.full((2,), 0.5), origins, directions, limit=1e6)
    assert far.tolist() == [1e6, 1e6]


def test_view_directions_are_taken_before_ndc(cameras):
    bounds = Bounds(0.0, 1.0, NDC(2.0, 2.0))
    index = torch.tensor([0, 1])
    rays = cast_rays(cameras, bounds, index, index, index)
    _, world = cameras.rays(index, index, index)
    torch.testing.assert_close(rays.viewdirs, world)
    warped = Bounds(0.0, 1.0, NDC(2.0, 2.0), warped_viewdirs=True)
    rays = cast_rays(cameras, warped, index, index, index)
    torch.testing.assert_close(rays.viewdirs, rays.directions)


def test_the_shape_checks_bite():
    with pytest.raises(TypeCheckError):
        pixel_to_camera(torch.zeros(4), torch.zeros(5, 3))
