"""Support and free space against surfaces that are known."""

from __future__ import annotations

import numpy as np
import pytest

from paths.free_space import FreeSpace, surface_points
from paths.support import PhotoDepth, small
from tests.paths.made import along, box, depth_of, plane, ring, scene_of, sphere


def facing(*positions: tuple[float, float, float], direction=(0.0, 1.0, 0.0)) -> np.ndarray:
    places = np.array(positions, dtype=float)
    return along(places, np.broadcast_to(np.array(direction, dtype=float), places.shape))


WALL = depth_of(plane((0, 4, 0), (0, -1, 0)))


def test_surface_points_lie_on_the_surface():
    cameras = small(scene_of(facing((0, 0, 0), (1, 0, 0.5))).cameras)
    points, frame = surface_points(cameras, WALL(cameras))
    np.testing.assert_allclose(points[:, 1], 4, atol=1e-4)
    assert set(frame) == {0, 1}
    assert len(points) == int(cameras.size.prod(dim=1).sum())


def test_a_wall_is_supported_as_far_as_two_photos_overlap():
    # Fields of view of 90 degrees along both sides: each shows 8 of the wall's width.
    photos = scene_of(facing((0, 0, 0), (4, 0, 0)), (64, 64), 90).cameras
    photo_depth = PhotoDepth(photos, WALL)
    frames = scene_of(facing((0, 0, 0), (2, 0, 0), (4, 0, 0), (-4, 0, 0)), (64, 64), 90).cameras
    seen = photo_depth.look(frames)
    np.testing.assert_allclose(seen.support, [0.5, 0.5, 0.5, 0.0], atol=0.03)
    # What is missing of the first is on its left, of the third on its right.
    assert seen.unseen[0, 0] == pytest.approx(-0.5, abs=0.05)
    assert seen.unseen[2, 0] == pytest.approx(0.5, abs=0.05)


def test_what_is_behind_something_was_not_seen():
    # A box hides part of the wall from two photos on the left, not from the frame on the right.
    hidden = depth_of(plane((0, 4, 0), (0, -1, 0)), box((-0.5, 1.5, -9), (0.5, 1.7, 9)))
    photos = scene_of(facing((-2, 0, 0), (-2, 0, 0.2)), (64, 64), 100).cameras
    frame = scene_of(facing((2, 0, 0)), (64, 64), 100).cameras
    support = PhotoDepth(photos, hidden).look(frame).support[0]
    open_wall = PhotoDepth(photos, WALL).look(frame).support[0]
    # By hand: of the wall, the frame sees x from -2.77 to where its own view is hidden; the photos
    # see up to 2.77, less what the box hides from them, x in (1.53, 2.77).
    assert support < open_wall - 0.15


def test_nothing_to_see_is_no_lack():
    empty = depth_of(sphere((0, 0, -50), 0.1))
    photos = scene_of(facing((0, 0, 0), (1, 0, 0))).cameras
    assert PhotoDepth(photos, empty).look(photos).support.tolist() == [1.0, 1.0]


def test_free_space_around_a_ball():
    scene = scene_of(ring(np.arange(0, 360, 15.0), 10.0, 3.0))
    depth = depth_of(sphere((0, 0, 0), 1.0), plane((0, 0, -1), (0, 0, 1)), sphere((0, 0, 0), 30.0))
    free = FreeSpace(scene.cameras.c2w.double().numpy(), depth, near=0.05)
    # The photos keep 1.52 from the ground: half of that is asked for.
    assert free.clear == pytest.approx(0.76, abs=0.05)
    places = np.array(
        [[0, 0, 0], [0.5, 0, 0], [0, 0, 1.1], [0, 0, 3], [2.5, 0, 0.3], [2, 2, -0.9], [2, 2, -3]]
    )
    assert free(places).tolist() == [False, False, False, True, True, False, False]
    np.testing.assert_allclose(free.room(places[3:5]), [2.0, 1.3], rtol=0.07)


def test_behind_a_wall_is_not_free():
    scene = scene_of(facing((-1, 0, 0), (0, 0, 0), (1, 0, 0)))
    free = FreeSpace(scene.cameras.c2w.double().numpy(), WALL, near=0.05)
    places = np.array([[0, 1.5, 0], [0.5, -3, 0], [0, 3.9, 0], [0, 9, 0]])
    assert free(places).tolist() == [True, True, False, False]


def test_clearance_reaches_the_near_plane():
    scene = scene_of(facing((-1, 2.5, 0), (0, 2.5, 0), (1, 2.5, 0)))
    poses = scene.cameras.c2w.double().numpy()
    assert FreeSpace(poses, WALL, near=0.05).clear == pytest.approx(0.75, abs=0.1)
    assert FreeSpace(poses, WALL, near=1.1).clear == pytest.approx(1.155, abs=0.01)
