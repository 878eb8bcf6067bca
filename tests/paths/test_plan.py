"""The flight of each kind of capture: near the photos, level, smooth, free, and seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from geometry.capture_kind import capture_kind
from geometry.poses import check_poses, normalize
from paths.path import KINDS, CameraPath, PathConfig
from paths.plan import path_scene, plan_path
from tests.paths.made import (
    along,
    captures,
    depth_of,
    on_side,
    plane,
    ring,
    scene_of,
    sphere,
)

CAPTURES = captures()
AROUND = ["surround", "arc 60", "arc 120", "arc 180", "dome", "drone", "five"]
KIND = {"surround": "orbit", "drone": "orbit", "dome": "dome", "forward-facing": "spiral"}
KIND |= dict.fromkeys(["arc 60", "arc 120", "arc 180", "five"], "arc")
KIND |= dict.fromkeys(["street", "corridor", "room"], "trajectory")


@pytest.fixture(scope="module")
def flights() -> dict[str, CameraPath]:
    """The default path of each capture, planned with exact depth."""
    config = PathConfig(n_frames=60)
    return {name: plan_path(scene, config, depth) for name, (scene, depth, _) in CAPTURES.items()}


def poses_of(path: CameraPath) -> np.ndarray:
    return path.cameras.c2w.double().numpy()


def jerks(values: np.ndarray) -> tuple[float, float]:
    """Longest first difference of a loop, and its longest second difference over that."""
    first = np.diff(np.concatenate([values, values[:2]]), axis=0)
    speed = np.linalg.norm(first, axis=1).max()
    return speed, np.linalg.norm(np.diff(first, axis=0), axis=1).max() / speed


@pytest.mark.parametrize("name", CAPTURES)
def test_the_kind_follows_from_the_cameras(name, flights):
    scene, _, kind = CAPTURES[name]
    assert capture_kind(scene.cameras.c2w.double().numpy()) == kind
    assert flights[name].kind == KIND[name]


@pytest.mark.parametrize("name", CAPTURES)
def test_a_flight_is_level_and_loops_smoothly(name, flights):
    poses = poses_of(flights[name])
    assert len(poses) == 60
    check_poses(poses, [str(i) for i in range(len(poses))], "path")
    up = np.array(CAPTURES[name][0].up)
    np.testing.assert_allclose(poses[:, :, 0] @ up, 0, atol=1e-6)
    assert (poses[:, :, 1] @ up > 0.1).all()
    speed, jerk = jerks(poses[:, :, 3])
    # A circle of 60 frames has 0.1; a hard turn of a swing would have 2. A corner stays one.
    assert jerk < (0.5 if name == "corridor" else 0.24)
    turn, twist = jerks(poses[:, :, 2])
    assert turn < np.radians(16)
    assert twist < (0.5 if name == "corridor" else 0.4)
    assert np.linalg.norm(poses[0, :, 3] - poses[-1, :, 3]) <= speed * 1.001


@pytest.mark.parametrize("name", AROUND)
def test_a_flight_around_is_near_the_photos(name, flights):
    scene, _, _ = CAPTURES[name]
    subject = np.array([0, 0, 3.0]) if name == "drone" else np.zeros(3)
    photos = scene.cameras.c2w[:, :, 3].double().numpy() - subject
    frames = poses_of(flights[name])[:, :, 3] - subject
    far, away = np.linalg.norm(photos, axis=1), np.linalg.norm(frames, axis=1)
    angle = np.degrees(np.arccos(np.clip((frames / away[:, None]) @ (photos.T / far), -1, 1)))
    assert angle.min(1).max() <= 15
    # Up to where the photos' axes meet, which is not the subject's middle to the percent.
    for row, distance in zip(angle, away, strict=True):
        there = far[row <= 20]
        assert 0.98 * there.min() <= distance <= 1.02 * there.max()


@pytest.mark.parametrize("name", AROUND)
def test_the_subject_is_framed_as_in_the_photos(name, flights):
    frames = poses_of(flights[name])
    subject = np.array([0, 0, 3.0]) if name == "drone" else np.zeros(3)
    aim = ((subject - frames[:, :, 3]) * -frames[:, :, 2]).sum(1)
    aim /= np.linalg.norm(subject - frames[:, :, 3], axis=1)
    assert aim.min() > np.cos(np.radians(3))
    scene = CAPTURES[name][0]
    cameras = flights[name].cameras
    np.testing.assert_array_equal(cameras.size[0], scene.cameras.size[0])
    np.testing.assert_allclose(cameras.intrinsics[0], scene.cameras.intrinsics[0])


@pytest.mark.parametrize("name", ["arc 120", "surround"])
def test_photos_that_aim_beside_the_subject_are_followed(name):
    scene, _, _ = CAPTURES[name]
    poses = scene.cameras.c2w.double().numpy()
    right = poses[:, :, 0]
    # All look 8 degrees to the right of the subject's middle.
    axis = normalize_rows(-poses[:, :, 2] + np.tan(np.radians(8)) * right)
    path = plan_path(scene_of(along(poses[:, :, 3], axis)), PathConfig(n_frames=60))
    frames = poses_of(path)
    inwards = normalize_rows(-frames[:, :, 3])
    local = np.einsum("nij,ni->nj", frames[:, :, :3], inwards)
    angle = np.degrees(np.arctan2(local[:, 0], -local[:, 2]))
    assert -10 < angle.mean() < -5


def normalize_rows(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("name", [name for name in CAPTURES if name != "five"])
def test_what_a_flight_shows_was_seen(name, flights):
    path = flights[name]
    assert path.support is not None
    assert path.support.shape == (60,)
    assert path.support.min() >= 0.95
    assert (
        not [note for note in path.notes if "fewer than two" in note] or path.support.min() < 0.95
    )


def test_photos_too_few_say_what_would_mend_it(flights):
    path = flights["five"]
    assert path.support is not None
    assert path.support.min() < 0.95
    assert [note for note in path.notes if "photo" in note and "would mend it" in note]


@pytest.mark.parametrize("name", ["street", "corridor", "room"])
def test_a_walk_stays_in_its_way(name, flights):
    scene, _, _ = CAPTURES[name]
    frames = poses_of(flights[name])
    photos = scene.cameras.c2w.double().numpy()
    gap = np.linalg.norm(frames[:, None, :, 3] - photos[None, :, :, 3], axis=2)
    step = np.linalg.norm(np.diff(photos[:, :, 3], axis=0), axis=1).max()
    assert gap.min(1).max() < step
    similar = -frames[:, :, 2] @ -photos[:, :, 2].T
    at = gap.argmin(1)
    assert similar[np.arange(len(at)), at].min() > np.cos(np.radians(25))
    # Half a metre from all walls, as the photos (one metre) were.
    if name == "corridor":
        x, y = frames[:, 0, 3], frames[:, 1, 3]
        assert ((np.abs(y) < 0.6) | ((np.abs(x - 8) < 0.6) & (y < 8.5))).all()


def test_a_room_is_turned_in_once_without_going_back(flights):
    heading = np.unwrap(
        np.arctan2(-poses_of(flights["room"])[:, 1, 2], -poses_of(flights["room"])[:, 0, 2])
    )
    assert (np.diff(heading) > 0).all()
    assert 335 < np.degrees(heading[-1] - heading[0]) < 360


@pytest.mark.parametrize(("name", "least"), [("arc 60", 45), ("arc 120", 90), ("arc 180", 150)])
def test_an_arc_swings_over_what_was_photographed_and_no_further(name, least, flights):
    x, y, _ = poses_of(flights[name])[:, :, 3].T
    azimuth = np.degrees(np.arctan2(x, -y))
    half = int(name.split()[1]) / 2 + 4
    assert np.ptp(azimuth) > least
    assert -half < azimuth.min() < azimuth.max() < half


def test_a_gap_in_a_circle_is_not_crossed():
    poses = ring(np.arange(0, 300, 8.0), 15.0, jitter=1.0)
    path = plan_path(scene_of(poses), PathConfig(n_frames=60))
    assert path.kind == "arc"
    x, y, _ = poses_of(path)[:, :, 3].T
    azimuth = np.degrees(np.arctan2(y, x)) % 360
    assert azimuth.max() < 300
    assert np.ptp(azimuth) > 250
    assert "photos from the other sides" in path.notes[0]
    full = plan_path(scene_of(poses), PathConfig("orbit", 60))
    assert full.angle.max() > 20
    assert [note for note in full.notes if "more than 15 degrees from any photo" in note]


def test_a_row_with_gaps_is_left_for_one_without():
    """Low photos in the middle of an arc alone do not keep the path from going all its width."""
    level = ring(np.linspace(-150, -30, 12), 3.0)
    low = ring(np.linspace(-150, -110, 20), -38.0)
    path = plan_path(scene_of(np.concatenate([low, level])), PathConfig(n_frames=60))
    x, y, _ = poses_of(path)[:, :, 3].T
    assert np.ptp(np.degrees(np.arctan2(x, -y))) > 110


def test_a_dome_rises_to_its_upper_row_and_sinks_to_its_lower():
    lower, upper = ring(np.arange(0, 360, 10.0), 35.0), ring(np.arange(0, 360, 12.0), 60.0)
    path = plan_path(scene_of(np.concatenate([lower, upper])), PathConfig(n_frames=90))
    height = np.degrees(np.arcsin(poses_of(path)[:, 2, 3] / 3.0))
    assert path.kind == "dome"
    assert height.min() < 40
    assert height.max() > 55


def test_distance_follows_the_photos():
    azimuth = np.arange(0, 360, 6.0)
    distance = 3.0 + 1.0 * np.cos(np.radians(azimuth))
    path = plan_path(scene_of(ring(azimuth, 10.0, distance)), PathConfig(n_frames=90))
    frames = poses_of(path)[:, :, 3]
    around = np.arctan2(frames[:, 1], frames[:, 0])
    np.testing.assert_allclose(np.linalg.norm(frames, axis=1), 3 + np.cos(around), rtol=0.12)


@pytest.mark.parametrize("clockwise", [True, False])
@pytest.mark.parametrize("name", ["surround", "arc 120", "dome"])
def test_photos_on_their_side_are_stood_up(name, clockwise):
    scene, _, kind = CAPTURES[name]
    lying = on_side(scene.cameras.c2w.double().numpy(), clockwise)
    # A loader takes the photos' own up, which is level here.
    stored = scene_of(lying, (640, 480), up=normalize(lying[:, :, 1].mean(0)))
    assert capture_kind(lying) == kind
    path = plan_path(stored, PathConfig(n_frames=40))
    poses = poses_of(path)
    np.testing.assert_allclose(poses[:, 2, 0], 0, atol=1e-3)
    assert (poses[:, 2, 1] > 0.1).all()
    assert path.cameras.size[0].tolist() == [480, 640]
    assert path.angle.max() <= 15


def test_roll_turns_what_the_cameras_cannot_tell():
    scene, _, _ = CAPTURES["forward-facing"]
    lying = on_side(scene.cameras.c2w.double().numpy())
    stored = replace(scene, cameras=replace(scene.cameras, c2w=torch.from_numpy(lying).float()))
    as_stored = plan_path(stored, PathConfig(n_frames=20))
    turned = plan_path(stored, PathConfig(n_frames=20, roll=90))
    assert poses_of(as_stored)[:, 1, 1].max() < 0.1
    assert poses_of(turned)[:, 1, 1].min() > 0.9
    assert turned.cameras.size[0].tolist() == [480, 640]
    slightly = plan_path(scene, PathConfig(n_frames=20, roll=10))
    np.testing.assert_allclose(poses_of(slightly)[:, 1, 1], np.cos(np.radians(10)), atol=0.01)


def test_adjustments():
    scene, _, _ = CAPTURES["surround"]
    plain = plan_path(scene, PathConfig("orbit", 30))
    moved = plan_path(scene, PathConfig("orbit", 30, height=20, radius=1.5))
    before, after = poses_of(plain)[:, :, 3], poses_of(moved)[:, :, 3]
    far = np.linalg.norm(after, axis=1)
    np.testing.assert_allclose(far / np.linalg.norm(before, axis=1), 1.5, rtol=0.03)
    assert np.degrees(np.arcsin(after[:, 2] / far)).mean() == pytest.approx(32, abs=2)
    assert [note for note in moved.notes if "farther" in note]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["surround", "arc 60", "forward-facing", "street", "five"])
def test_every_kind_makes_a_path_of_every_capture(name, kind):
    scene, _, _ = CAPTURES[name]
    path = plan_path(scene, PathConfig(kind, 20))
    assert path.kind == kind
    check_poses(poses_of(path), [str(i) for i in range(20)], "path")
    made = path_scene(scene, path)
    assert made.splits == {"path": list(range(20))}
    assert len(made.cameras) == len(made.frames) == 20


def test_one_photo_or_two_still_make_a_path():
    for count in (1, 2):
        poses = ring(np.arange(count) * 10.0, 10.0)
        path = plan_path(scene_of(poses), PathConfig(n_frames=10))
        assert np.isfinite(poses_of(path)).all()


def test_a_pillar_between_the_photos_is_flown_around():
    azimuth = np.arange(2, 360, 8.0)
    distance = np.where(np.arange(len(azimuth)) % 2, 2.5, 3.7)
    scene = scene_of(ring(azimuth, 10.0, distance))
    pillar = 3.1 * np.array([0, np.cos(np.radians(10)), np.sin(np.radians(10))])
    surfaces = [
        sphere((0, 0, 0), 0.6),
        sphere(pillar.tolist(), 0.3),
        plane((0, 0, -0.6), (0, 0, 1)),
    ]
    depth = depth_of(*surfaces, sphere((0, 0, 0), 20.0))

    def room(path: CameraPath) -> float:
        return np.linalg.norm(poses_of(path)[:, :, 3] - pillar, axis=1).min() - 0.3

    config = PathConfig(n_frames=90)
    assert room(plan_path(scene, config)) < 0  # the photos alone do not tell
    path = plan_path(scene, config, depth)
    assert room(path) > 0.15
    assert path.angle.max() <= 15
    assert jerks(poses_of(path)[:, :, 3])[1] < 0.25
    assert not [note for note in path.notes if "surface" in note and "too near" in note]


def test_a_path_through_a_wall_is_told():
    scene, depth, _ = CAPTURES["arc 60"]
    full = plan_path(scene, PathConfig("orbit", 40), depth)
    assert [note for note in full.notes if "behind one" in note]


def test_planning_a_hundred_photos_is_quick():
    import time

    poses = ring(np.arange(0, 360, 3.6), 20.0, jitter=3.0)
    scene = scene_of(poses)
    start = time.perf_counter()
    plan_path(scene, PathConfig(n_frames=120))
    assert time.perf_counter() - start < 5
