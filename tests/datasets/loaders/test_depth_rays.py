"""Rays towards points that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.loaders.depth_rays import DepthSupervision
from datasets.sparse.observations import SparseObservations
from geometry.cameras import make_cameras
from geometry.ndc import NDC
from geometry.rays import Bounds
from tests.scenes import forward_poses

SIZE = (400, 300)


@pytest.mark.parametrize("ndc", [None, NDC(2.0, 2.5)], ids=["around", "ndc"])
def test_rays_are_followed_to_before_and_behind_the_point_that_was_seen(ndc):
    poses = forward_poses(3).astype(np.float64)
    cameras = make_cameras(poses[:, :3], [(400, 400, 200, 150)] * 3, [SIZE] * 3)
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(50, 3, generator=generator) - torch.tensor([0.5, 0.5, 9.0])
    observations = SparseObservations(torch.arange(50) % 3, points)
    far = 9.0 if ndc is None else 1.0
    supervision = DepthSupervision(observations, cameras, Bounds(0.0, far, ndc))
    drawn = supervision.draw(100, generator)
    rays, limits = drawn.rays, drawn.limits
    assert drawn.target_opacity.tolist() == 100 * [0.0, 1.0]
    assert limits.cells.tolist() == 100 * [-2.0, 2.0]
    end = rays.points(limits.t[:, None])[:, 0]
    origins = cameras.c2w[:, :, 3]
    for ray in range(200):
        camera = int(rays.camera_indices[ray])
        way = (0.97, 1.03)[ray % 2] * (points[camera::3] - origins[camera])
        places = origins[camera] + way
        if ndc is not None:
            places = ndc.points(places)
        assert float((places - end[ray]).norm(dim=1).min()) < 1e-4
