"""The curves that paths are made of: splines, bounds, swings, routes, tours, circles."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from geometry.poses import check_poses, look_at
from paths.kinds.spiral import spiral
from paths.kinds.tour import order, shortest, steps
from paths.kinds.trajectory import interpolate
from paths.level import level, turn
from paths.nearness import distance_range
from paths.route import cheapest_route, longest_run
from paths.smooth import blur, even_steps, sample, spline, swing, within
from tests.paths.made import UP, along, on_side, ring


def test_look_at_by_hand():
    pose = look_at(np.array([0.0, -3, 0]), np.zeros(3), np.array([0.0, 0, 1]))
    expected = np.array([[1.0, 0, 0, 0], [0, 0, -1, -3], [0, 1, 0, 0]])
    np.testing.assert_allclose(pose, expected, atol=1e-12)
    np.testing.assert_allclose(
        level(np.array([[0.0, -3, 0]]), np.array([[0.0, 2, 0]]), UP)[0], pose
    )


def test_turning_undoes_lying_on_a_side():
    poses = ring(np.arange(0, 360, 40.0), 20.0)
    np.testing.assert_allclose(turn(on_side(poses, clockwise=True), 90), poses, atol=1e-12)
    np.testing.assert_allclose(turn(on_side(poses, clockwise=False), -90), poses, atol=1e-12)


@pytest.mark.parametrize("closed", [True, False])
def test_a_spline_goes_through_its_stops_without_a_kink(closed):
    stops = np.random.default_rng(0).standard_normal((6, 3))
    knots = np.cumsum([0, 1, 0.5, 2, 1, 1, 0.7][: 7 if closed else 6])
    np.testing.assert_allclose(spline(stops, knots, knots[:6], closed), stops, atol=1e-9)
    at = np.linspace(0, knots[-1], 4001)
    curve = spline(stops, knots, at, closed)
    first = np.diff(curve, axis=0) / (at[1] - at[0])
    second = np.diff(first, axis=0) / (at[1] - at[0])
    assert np.abs(np.diff(second, axis=0)).max() < 0.05 * np.abs(second).max()
    if closed:
        np.testing.assert_allclose(first[0], first[-1], atol=0.05 * np.abs(first).max())
    else:
        np.testing.assert_allclose(first[[0, -1]], 0, atol=0.02 * np.abs(first).max())


@pytest.mark.parametrize("closed", [True, False])
def test_within_keeps_to_its_bounds_and_is_smooth(closed):
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    low = np.where(angle < 2, 1.0, 0.5)
    high = np.where((angle > 3) & (angle < 4), 0.8, 1.5)
    curve = within(np.full(360, 0.9), low, high, 14.0, closed)
    assert (curve > low - 0.01).all()
    assert (curve < high + 0.01).all()
    assert np.abs(np.diff(curve, 2)).max() < 0.003  # the bounds themselves jump by 0.7
    free = within(0.9 + 0.01 * np.sin(3 * angle), 0 * low, 2 + 0 * low, 5.0, closed)
    np.testing.assert_allclose(free, 0.9 + 0.01 * np.sin(3 * angle), atol=2e-3)


def test_a_swing_turns_softly_and_closes():
    way = swing(120)
    assert way[0] == 0
    assert way.max() == pytest.approx(1)
    loop = np.concatenate([way, way[:2]])
    assert np.abs(np.diff(loop, 2)).max() < 0.06 * np.abs(np.diff(loop)).max()


def test_blur_keeps_a_slope_and_a_circle():
    slope = np.arange(50.0)
    np.testing.assert_allclose(blur(slope, 4.0, closed=False), slope, atol=1e-9)
    angle = 2 * np.pi * np.arange(100) / 100
    expected = np.cos(angle) * np.exp(-0.5 * (2 * np.pi * 3 / 100) ** 2)
    np.testing.assert_allclose(blur(np.cos(angle), 3.0, closed=True), expected, atol=1e-4)


def test_even_steps_of_an_uneven_curve():
    way = np.linspace(0, 1, 400) ** 2 * 10
    positions = np.stack([way, 0 * way, 0 * way], axis=1)
    axis = np.broadcast_to([0.0, 1, 0], positions.shape)
    at = even_steps(positions, axis, 1.0, 60, closed=False)
    expected = 10 * swing(60)
    np.testing.assert_allclose(sample(positions, at, closed=False)[:, 0], expected, atol=0.25)


def test_the_cheapest_route_is_that_of_trying_all():
    cost = np.random.default_rng(3).random((6, 4))
    route, total = cheapest_route(cost, steepest=1, price=0.2)

    def price_of(rows) -> float:
        move = np.diff([*rows, rows[0]])
        if np.abs(move).max() > 1:
            return np.inf
        return cost[np.arange(6), list(rows)].sum() + 0.2 * (move**2).sum()

    best = min(product(range(4), repeat=6), key=price_of)
    assert route.tolist() == list(best)
    assert total == pytest.approx(price_of(best))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("1111", (0, 4)), ("0000", None), ("1101", (3, 3)), ("0110", (1, 2)), ("11011011", (6, 4))],
)
def test_longest_run(pattern, expected):
    assert longest_run(np.array([c == "1" for c in pattern])) == expected


def test_a_shuffled_walk_is_put_in_order():
    way = np.stack([np.linspace(0, 10, 15), np.sin(np.linspace(0, 3, 15)), np.zeros(15)], axis=1)
    poses = along(way, np.broadcast_to([1.0, 0.1, 0], way.shape))
    assert order(steps(poses)) == list(range(15))
    mixed = np.random.default_rng(1).permutation(15)
    found = [int(mixed[i]) for i in order(steps(poses[mixed]))]
    assert found in (list(range(15)), list(range(15))[::-1])
    assert sorted(shortest(steps(poses[mixed]))) == list(range(15))


def test_interpolation_goes_through_the_cameras_and_closes():
    cameras = ring(np.arange(0, 360, 45.0), 20.0)
    poses = interpolate(cameras, UP, 400)
    for camera in cameras:
        assert np.abs(poses - camera).reshape(400, -1).max(1).min() < 0.03
    way = np.linalg.norm(np.diff(poses[:, :, 3], axis=0, append=poses[:1, :, 3]), axis=1)
    assert way.max() < 1.1 * way.min()


def test_interpolation_of_an_arc_does_not_cut_across():
    poses = interpolate(ring(np.linspace(-150, -30, 10), 5.0), UP, 80)
    assert np.linalg.norm(poses[:, :, 3], axis=1).min() > 2.8
    check_poses(poses, [str(i) for i in range(80)], "path")


def test_a_spiral_keeps_within_its_cameras():
    random = np.random.default_rng(0)
    places = np.column_stack([0.5 * random.random((30, 2)) - 0.25, np.zeros(30)])
    # In a plane that faces +y, on a slanting line mostly.
    places = places[:, [0, 2, 1]] + np.array([1.0, 0, 0.5]) * random.standard_normal((30, 1))
    cameras = along(places, np.broadcast_to([0.0, 1, 0], places.shape))
    poses = spiral(cameras, UP, 5.0, 100)
    gap = np.linalg.norm(poses[:, None, :, 3] - places, axis=2).min(1)
    assert gap.max() < 0.5
    assert np.ptp(poses[:, 0, 3]) > 1.0
    np.testing.assert_allclose(poses[:, 2, 0], 0, atol=1e-9)
    assert (-poses[:, 1, 2] > 0.85).all()


def test_distances_are_those_of_the_photos_there():
    angle = np.array([[1.0, 2, 3, 19, 40], [50, 60, 70, 80, 90]])
    low, high = distance_range(angle, np.array([2.0, 3, 4, 5, 9]))
    assert low.tolist() == [2, 2]
    assert high.tolist() == [5, 4]
