"""What kind of capture cameras make, on cameras that are known."""

from __future__ import annotations

import numpy as np
import pytest

from geometry.capture_kind import azimuth_cover, capture_kind, describe_capture, turning_axis
from geometry.poses import apply
from tests.paths.made import UP, along, captures, on_side, ring

AROUND = np.arange(0, 360, 12.0)


def facing_wall(places: np.ndarray) -> np.ndarray:
    return along(places, np.broadcast_to([0.0, 1.0, 0.0], places.shape))


def sphere_of_cameras() -> np.ndarray:
    random = np.random.default_rng(2)
    return np.concatenate([ring(random.random(1) * 360, e) for e in random.uniform(5, 75, 60)])


CAMERAS = {
    "surround": ring(AROUND, 10.0, jitter=3),
    "surround, five photos": ring(np.arange(0, 360, 72.0), 10.0),
    "dome": ring(AROUND, 55.0, jitter=3),
    "dome, from far above": ring(AROUND, 72.0, jitter=2),
    "dome, two circles": np.concatenate([ring(AROUND, 30.0), ring(AROUND, 68.0)]),
    "dome, all heights": sphere_of_cameras(),
    "arc, 60": ring(np.linspace(0, 60, 20), 5.0, jitter=2),
    "arc, 70 from above": ring(np.linspace(0, 70, 20), 40.0, jitter=2),
    "arc, 180": ring(np.linspace(0, 180, 30), 0.0, jitter=2),
    "arc, 250": ring(np.linspace(0, 250, 30), 20.0, jitter=2),
    "forward-facing, narrow arc": ring(np.linspace(0, 25, 12), 5.0, jitter=1),
    "forward-facing, slider": facing_wall(np.linspace([-1.0, 0, 0], [1, 0, 0], 20)),
    "forward-facing, one photo": ring(np.zeros(1), 0.0),
    "trajectory, dolly": facing_wall(np.linspace([0.0, 0, 0], [0, 5, 0], 20)),
}


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("stored", ["upright", "on their side"])
def test_kinds(name, stored):
    poses = CAMERAS[name] if stored == "upright" else on_side(CAMERAS[name])
    assert capture_kind(poses) == name.split(",")[0]


@pytest.mark.parametrize("name", captures())
def test_kinds_do_not_depend_on_the_coordinates(name):
    scene, _, kind = captures()[name]
    poses = scene.cameras.c2w.double().numpy()
    rotation, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((3, 3)))
    moved = np.eye(4)
    moved[:3, :3] = 7.0 * rotation * np.sign(np.linalg.det(rotation))
    moved[:3, 3] = [3, -40, 100]
    assert capture_kind(apply(moved, poses)) == kind


def test_figures_of_an_arc():
    capture = describe_capture(ring(np.linspace(20, 140, 25), 30.0, 4.0, target=(1, 2, 3)))
    np.testing.assert_allclose(capture.subject, [1, 2, 3], atol=1e-3)
    np.testing.assert_allclose(capture.up, UP, atol=1e-6)
    assert capture.azimuth == pytest.approx(120, abs=0.5)
    assert capture.elevation == pytest.approx((30, 30), abs=0.1)
    assert capture.inward == 1
    assert str(capture) == "arc, 120 degrees around, 30 to 30 high"


def test_up_of_photos_on_their_side_is_that_of_the_scene():
    for clockwise in (True, False):
        axis = turning_axis(on_side(ring(AROUND, 25.0, jitter=2), clockwise))
        assert axis @ UP > np.cos(np.radians(3))


def test_photos_that_look_elsewhere_do_not_move_the_subject():
    poses = ring(AROUND, 10.0)
    poses[::6] = along(poses[::6, :, 3], poses[::6, :, 0])
    np.testing.assert_allclose(describe_capture(poses).subject, 0, atol=0.05)


def test_azimuth_cover_over_the_cut_at_180():
    angle = np.radians([170.0, -175.0, -150.0])
    offset = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    assert azimuth_cover(offset, UP) == pytest.approx((40, 320))
