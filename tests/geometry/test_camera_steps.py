"""The steps from a pixel to a ray, worked out by hand and undone by their inverses."""

from __future__ import annotations

import math

import pytest
import torch

from geometry.cameras import (
    camera_to_pixel,
    intrinsic_matrix,
    inverse_transform,
    pixel_to_camera,
    pixel_to_ray,
    transform,
)
from tests.helpers.poses import random_pose


def test_transform_of_a_camera_turned_by_hand():
    # The camera stands at (0, -4, 1) and looks along +y with +z up: x stays, y is up, z is -y.
    c2w = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 1], [0, 0, 0, 1]])
    points = torch.tensor([[0.0, 0, 0], [0, 0, -1], [1, 0, 0], [0, 2, -3]])
    expected = torch.tensor([[0.0, -4, 1], [0, -3, 1], [1, -4, 1], [0, -1, 3]])
    torch.testing.assert_close(transform(c2w, points), expected)
    torch.testing.assert_close(transform(c2w[:3], points), expected)


def test_pixels_of_a_camera_computed_by_hand():
    # 200 x 100 pixels, focal length 50: the right edge is seen at 100 / 50 of the depth.
    K = intrinsic_matrix(50, 50, 100, 50)
    uv = torch.tensor([[100.0, 50], [200, 50], [100, 0], [0, 100]])
    expected = torch.tensor([[0.0, 0, -1], [2, 0, -1], [0, 1, -1], [-2, -1, -1]])
    torch.testing.assert_close(pixel_to_camera(K, uv), expected)
    torch.testing.assert_close(pixel_to_camera(K, uv, 3.0), 3 * expected)
    depth = torch.tensor([1.0, 2, 3, 4])
    torch.testing.assert_close(pixel_to_camera(K, uv, depth), depth[:, None] * expected)


def test_ray_of_a_camera_computed_by_hand():
    K = intrinsic_matrix(50, 50, 100, 50)
    c2w = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 1], [0, 0, 0, 1]])
    rays_o, rays_d = pixel_to_ray(K, c2w, torch.tensor([[100.0, 50], [150, 50], [100, 0]]))
    torch.testing.assert_close(rays_o, torch.tensor([[0.0, -4, 1]]).expand(3, 3))
    r = 1 / math.sqrt(2)
    torch.testing.assert_close(rays_d, torch.tensor([[0.0, 1, 0], [r, r, 0], [0, r, r]]))


def test_matrix_with_skew_agrees_with_its_inverse():
    K = torch.tensor([[60.0, 3.0, 41.0], [0.0, 55.0, 29.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    uv = torch.rand(20, 2, dtype=torch.float64) * 80
    ray = torch.cat([uv, torch.ones(20, 1, dtype=torch.float64)], dim=1) @ torch.inverse(K).T
    torch.testing.assert_close(
        pixel_to_camera(K, uv, 2.0), 2 * ray * torch.tensor([1.0, -1, -1], dtype=torch.float64)
    )


@pytest.mark.parametrize("shape", [(5,), (5, 3, 4)])
@pytest.mark.parametrize("per_camera", [False, True])
@pytest.mark.parametrize("as_matrix", [False, True])
def test_steps_are_undone_by_their_inverses(shape, per_camera, as_matrix):
    count = 5 if per_camera else 1
    c2w = random_pose(count) if per_camera else random_pose(1)[0]
    fx = 40 + 10 * torch.rand(count, dtype=torch.float64)
    K = torch.stack([fx, fx + 1, fx / 2, fx / 3], dim=-1)
    if as_matrix:
        K = torch.stack([intrinsic_matrix(*k) for k in K.tolist()]).double()
    K = K if per_camera else K[0]
    uv = torch.rand(*shape, 2, dtype=torch.float64) * 60
    depth = 1 + torch.rand(shape, dtype=torch.float64)
    x_c = pixel_to_camera(K, uv, depth)
    x_w = transform(c2w, x_c)
    torch.testing.assert_close(inverse_transform(c2w, x_w), x_c)
    back, s = camera_to_pixel(K, x_c)
    torch.testing.assert_close(back, uv)
    torch.testing.assert_close(s, depth)
    # The ray goes through the point, and each element is what it is alone.
    rays_o, rays_d = pixel_to_ray(K, c2w, uv)
    assert rays_o.shape == rays_d.shape == (*shape, 3)
    torch.testing.assert_close(rays_d.norm(dim=-1), torch.ones(shape, dtype=torch.float64))
    along = ((x_w - rays_o) * rays_d).sum(-1, keepdim=True)
    torch.testing.assert_close(rays_o + along * rays_d, x_w)
    last = (-1,) * len(shape)
    one_o, one_d = pixel_to_ray(
        K[-1] if per_camera else K, c2w[-1] if per_camera else c2w, uv[last]
    )
    torch.testing.assert_close((one_o, one_d), (rays_o[last], rays_d[last]))
