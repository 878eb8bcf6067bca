"""Corrections of cameras: motions, the lens, what a step of a parameter moves, the gauge."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from geometry.cameras import Cameras, make_cameras
from geometry.lens import distort, undistort
from geometry.motion import move, rotation
from geometry.ndc import NDC
from geometry.rays import Bounds, cast_rays
from geometry.region import Region
from models.refinement.cameras import CameraRefinement
from models.refinement.preconditioner import preconditioners, project, visible_points
from tests.scenes import circle_poses, forward_poses

AROUND = Region((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def cameras(poses: np.ndarray | None = None) -> Cameras:
    poses = circle_poses(7) if poses is None else poses
    count = len(poses)
    return make_cameras(poses, [(30.0, 31.0, 16.0, 12.0)] * count, [(32, 24)] * count)


def test_rotations_are_those_of_opencv_and_smooth_at_zero():
    vectors = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vectors[0] = 0
    for vector, matrix in zip(vectors, rotation(vectors), strict=True):
        np.testing.assert_allclose(matrix, cv2.Rodrigues(vector.numpy())[0], atol=1e-12)
    assert torch.autograd.gradcheck(
        rotation, torch.zeros(1, 3, dtype=torch.float64).requires_grad_()
    )
    assert torch.autograd.gradcheck(rotation, vectors[1:3].clone().requires_grad_())
    zero = torch.zeros(3, requires_grad=True)
    assert torch.isfinite(torch.autograd.grad(rotation(zero)[0, 1], zero)[0]).all()


def test_the_lens_is_that_of_opencv():
    radial = torch.tensor([0.06, -0.03], dtype=torch.float64)
    x = torch.rand(50, 2, dtype=torch.float64) - 0.5
    seen = distort(x, radial)
    points = np.concatenate([x.numpy(), np.ones((50, 1))], axis=1)
    zero = np.zeros(3)
    expected, _ = cv2.projectPoints(points, zero, zero, np.eye(3), np.array([0.06, -0.03, 0, 0]))
    np.testing.assert_allclose(seen, expected[:, 0], atol=1e-12)
    torch.testing.assert_close(undistort(seen, radial), x, rtol=0, atol=1e-7)


def test_rays_of_a_lens_meet_the_points_that_it_shows():
    given = cameras()
    lens = replace(given, radial=torch.tensor([[0.1, 0.05]]).expand(len(given), 2))
    image, x, y = torch.arange(7), torch.arange(7) * 4, torch.arange(7) * 3
    origins, directions = lens.rays(image, x, y)
    for i in range(7):
        point = (origins + 2.5 * directions)[i : i + 1].double()
        phi = torch.tensor([0.0] * 7 + [0.1, 0.05], dtype=torch.float64)
        c2w = given.c2w[i].double()
        seen = project(phi, c2w, point, torch.zeros(3, dtype=torch.float64))[0]
        pixel = torch.stack([30 * seen[0] + 16, 12 - 31 * seen[1]])
        torch.testing.assert_close(pixel, torch.stack([x[i], y[i]]) + 0.5, rtol=0, atol=1e-3,
                                   check_dtype=False)  # fmt: skip


def test_a_unit_of_any_parameter_moves_the_picture_by_about_a_focal_length():
    given = cameras()
    points = visible_points(given, Bounds(1.0, 8.0), AROUND)
    center = torch.zeros(3)
    poses, lens = preconditioners(given, points, center)
    moved = []
    for i in range(6):
        phi = torch.cat([1e-4 * poses[2, :, i], torch.zeros(3)]).double()
        before, after = (
            project(p, given.c2w[2].double(), points[2], center.double())
            for p in (torch.zeros(9, dtype=torch.float64), phi)
        )
        moved.append(float((after - before).square().sum(-1).mean().sqrt() / 1e-4))
    assert max(moved) < 1.05
    assert min(moved) > 0.4
    # As they are, a turn moves it as far as a shift by four units: cameras are 4 from the middle.
    assert float(poses[2, :3].norm()) > 0.1
    assert lens.shape == (3, 3)


def test_points_lie_before_their_cameras_in_ndc_too():
    forward = cameras(forward_poses(5))
    points = visible_points(forward, Bounds(0.0, 1.0, NDC(1.9, 2.5)), AROUND)
    assert float(points[..., 2].max()) < -1


def test_what_all_cameras_do_together_changes_nothing():
    given = cameras()
    refinement = CameraRefinement.of_scene(given, Bounds(1.0, 8.0), AROUND)
    center = given.c2w[:, :, 3].mean(dim=0)
    together = torch.tensor([0.01, -0.02, 0.005, 0.1, 0.2, -0.1]).expand(7, 6).clone()
    together[:, 3:] += 0.03 * (given.c2w[:, :, 3] - center)
    pose = torch.linalg.solve(refinement.pose_basis, together)
    with torch.no_grad():
        refinement.pose.copy_(pose)
        torch.testing.assert_close(refinement(given).c2w, given.c2w, rtol=0, atol=1e-4)
        alone = torch.zeros(7, 6)
        alone[3] = torch.tensor([0.01, -0.02, 0.005, 0.1, 0.2, -0.1])
        refinement.pose.copy_(torch.linalg.solve(refinement.pose_basis, alone))
        moved = refinement(given).c2w - given.c2w
    assert float(moved[3].abs().max()) > 5 * float(moved[[0, 1, 2, 4, 5, 6]].abs().mean())


def test_refinement_begins_with_the_cameras_as_they_are():
    for poses, bounds in (
        (circle_poses(7), Bounds(1.0, 8.0)),
        (forward_poses(7), Bounds(0.0, 1.0, NDC(1.9, 2.5))),
    ):
        given = cameras(poses)
        refinement = CameraRefinement.of_scene(given, bounds, AROUND)
        image, x, y = torch.arange(7), torch.arange(7) * 4, torch.arange(7) * 3
        before = cast_rays(given, bounds, image, x, y)
        after = cast_rays(refinement(given), bounds, image, x, y)
        torch.testing.assert_close(after.origins, before.origins)
        torch.testing.assert_close(after.directions, before.directions, rtol=1e-4, atol=1e-5)
        by = torch.autograd.grad(after.directions.square().sum() + after.origins.sum(),
                                 [refinement.pose, refinement.lens])  # fmt: skip
        assert all(float(gradient.abs().max()) > 0 for gradient in by)


def test_held_out_cameras_see_through_the_lens_alone():
    given = cameras()
    refinement = CameraRefinement.of_scene(given[:5], Bounds(1.0, 8.0), AROUND)
    with torch.no_grad():
        refinement.pose.normal_(std=0.05)
        refinement.lens.copy_(torch.tensor([0.05, 0.01, 0.0]))
    corrected = refinement.corrected(given, [0, 1, 2, 3, 4])
    assert torch.equal(corrected.c2w[5:], given.c2w[5:])
    assert not torch.allclose(corrected.c2w[:5], given.c2w[:5], atol=1e-3)
    assert corrected.intrinsics[5, 0] != given.intrinsics[5, 0]
    torch.testing.assert_close(corrected.intrinsics[:, 2:], given.intrinsics[:, 2:])
    turned = move(given.c2w[0], torch.tensor([0.0, 0, 0, 1, 2, 3]), torch.zeros(3))
    torch.testing.assert_close(turned[:, 3] - given.c2w[0, :, 3], torch.tensor([1.0, 2, 3]))
