"""The class project's data set of rays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.loaders.ray_dataset import RaysDataset
from geometry.cameras import (
    Cameras,
    camera_to_pixel,
    intrinsic_matrix,
    inverse_transform,
)
from tests.helpers.poses import random_pose


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
