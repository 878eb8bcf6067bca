"""The steps from a pixel to its colour: cameras computed by hand, inverses, closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.loaders.ray_dataset import RaysDataset
from geometry.cameras import (
    Cameras,
    camera_to_pixel,
    intrinsic_matrix,
    inverse_transform,
    pixel_to_camera,
    pixel_to_ray,
    transform,
)
from models.rendering.compositing import composite, composite_weights, volrend
from models.rendering.sampling import sample_along_rays


def random_pose(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))
    q = q * torch.linalg.det(q)[:, None, None]
    t = torch.randn(count, 3, 1, generator=generator, dtype=torch.float64)
    bottom = torch.tensor([[[0.0, 0.0, 0.0, 1.0]]], dtype=torch.float64).expand(count, 1, 4)
    return torch.cat([torch.cat([q, t], dim=2), bottom], dim=1)


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


@pytest.fixture
def dataset() -> RaysDataset:
    images = torch.randint(256, (3, 4, 6, 3), dtype=torch.uint8)
    return RaysDataset(images, intrinsic_matrix(5, 5, 3, 2), random_pose(3).float(), seed=1)


def test_each_ray_has_its_pixel_s_colour(dataset: RaysDataset):
    rays_o, rays_d, pixels = dataset.sample_rays(200)
    assert rays_o.shape == rays_d.shape == pixels.shape == (200, 3)
    images = dataset.photos.pixels.view(3, 4, 6, 3)
    seen = set()
    for o, d, rgb in zip(rays_o, rays_d, pixels, strict=True):
        image = int((dataset.c2w[:, :3, 3] - o).norm(dim=1).argmin())
        x_c = inverse_transform(dataset.c2w[image], o + 2 * d)
        u, v = camera_to_pixel(dataset.K[image], x_c)[0].tolist()
        assert u % 1 == pytest.approx(0.5, abs=1e-3)
        assert v % 1 == pytest.approx(0.5, abs=1e-3)
        torch.testing.assert_close(rgb, images[image, int(v), int(u)] / 255)
        seen.add(image)
    assert seen == {0, 1, 2}


def test_fixed_order_visits_each_pixel_once(dataset: RaysDataset):
    dataset.shuffle = False
    first, second = dataset.sample_rays(50)[2], dataset.sample_rays(22)[2]
    torch.testing.assert_close(torch.cat([first, second]), dataset.photos.pixels / 255)
    torch.testing.assert_close(dataset.sample_rays(1)[2], first[:1])
    torch.testing.assert_close(dataset[49][2], first[49])


def test_dataset_agrees_with_the_main_path(dataset: RaysDataset):
    cameras = Cameras(
        dataset.c2w[:, :3], torch.tensor([[5.0, 5, 3, 2]] * 3), torch.tensor([[6, 4]] * 3)
    )
    index = torch.arange(len(dataset))
    image, x, y = dataset.photos.locate(index)
    torch.testing.assert_close(dataset.rays(index)[:2], cameras.rays(image, x, y))


def test_dataset_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="2 images but 3 poses"):
        RaysDataset(np.zeros((2, 4, 4, 3), np.uint8), intrinsic_matrix(1, 1, 1, 1), random_pose(3))
    with pytest.raises(ValueError, match="uint8"):
        RaysDataset(np.zeros((3, 4, 4, 3)), intrinsic_matrix(1, 1, 1, 1), random_pose(3))


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
    weights = composite_weights(sigmas, deltas)
    main = composite(weights, rgbs, torch.zeros(4, 9), background=1.0).rgb
    torch.testing.assert_close(volrend(sigmas, rgbs, deltas, background=1.0), main)


def test_volrend_gives_the_class_project_s_values():
    torch.manual_seed(42)
    sigmas, rgbs = torch.rand(10, 64, 1), torch.rand(10, 64, 3)
    colours = volrend(sigmas, rgbs, (6.0 - 2.0) / 64)
    # The first and last row of what the handout of Berkeley's CS180 prints.
    expected = torch.tensor([[0.5006, 0.3728, 0.4728], [0.3253, 0.3587, 0.4215]])
    torch.testing.assert_close(colours[[0, -1]], expected, atol=1e-4, rtol=0)
