"""Photos and tags placed together, against the cameras that the corners were projected with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from capture.checks.check import TAG_APART, TAG_TWO_SIDED, TAG_UNFIT
from capture.solve.aruco import TagCamera, calibrate, tag_corners, tag_poses
from capture.solve.tag_adjustment import Adjustment, adjust_tags
from capture.solve.tag_bundle import Bundle, State
from capture.solve.tag_chain import rigid, transform
from geometry.poses import look_at

SIDE, SIZE, FOCAL, K1, NOISE = 0.06, (1600, 1200), 1250.0, 0.04, 0.3
LENS = TagCamera(
    np.array([[FOCAL, 0, 799.5], [0, FOCAL, 599.5], [0, 0, 1]]), np.array([K1, 0, 0, 0]), SIZE, 0.0
)
# As a calibration leaves it.
GUESS = replace(LENS, matrix=LENS.matrix + np.diag([25.0, 25, 0]), distortion=np.zeros(4))


@dataclass(frozen=True)
class Made:
    """Tags (to the world), photos (world to camera), and the corners that they show."""

    tags: dict[int, np.ndarray]
    photos: dict[str, np.ndarray]
    shown: dict[str, dict[int, np.ndarray]]

    def without(self, *tags: int, photos: range | None = None) -> Made:
        """The tags covered in photos, in all by default."""
        chosen = [name_of(i) for i in photos or range(len(self.photos))]
        shown = {
            name: {t: c for t, c in seen.items() if name not in chosen or t not in tags}
            for name, seen in self.shown.items()
        }
        return replace(self, shown=shown)


def name_of(index: int) -> str:
    return f"{index:02d}.jpg"


def sheet(turn: float = 0.3) -> dict[int, np.ndarray]:
    """Five tags in a row on a table, each a little turned and tilted, and one on a wall."""
    tags = {0: np.eye(4)}
    for i in range(1, 5):
        axis = np.array([0.1 * (-1) ** i, 0.05, turn * i])
        tags[i] = rigid(cv2.Rodrigues(axis)[0], np.array([0.09 * i, 0.01 * i, 0.002 * i]))
    tags[5] = rigid(cv2.Rodrigues(np.array([np.pi / 2, 0, 0]))[0], np.array([0.1, 0.15, 0.06]))
    return tags


def make(
    count: int = 20,
    noise: float = NOISE,
    distance: float = 0.4,
    seed: int = 0,
) -> Made:
    """Photos from an arc before the tags; each shows all tags that are wholly in the picture."""
    generator, middle = np.random.default_rng(seed), np.array([0.15, 0.0, 0.0])
    tags, photos, shown = sheet(), {}, {}
    for i in range(count):
        angle = np.pi * (0.15 + 0.7 * i / (count - 1))
        place = np.array([np.cos(angle), -np.sin(angle), (0.9, 0.6, 1.3)[i % 3]]) * distance
        aim = np.array([0.0, 0.02 * np.sin(3 * i), 0.0])
        pose = look_at(middle + place, middle + aim, np.array([0.0, 0, 1]))
        photo = rigid((pose[:, :3] * [1, -1, -1]).T, np.zeros(3))
        photo[:3, 3] = -photo[:3, :3] @ pose[:, 3]
        photos[name_of(i)] = photo
        seen = {tag: project(photo, world) for tag, world in tags.items()}
        shown[name_of(i)] = {
            tag: corners + generator.normal(0, noise, (4, 2))
            for tag, corners in seen.items()
            if (corners > 0).all() and (corners < np.array(SIZE) - 1).all()
        }
    return Made(tags, photos, shown)


def project(photo: np.ndarray, tag: np.ndarray, lens: TagCamera = LENS) -> np.ndarray:
    corners = transform(photo @ tag, tag_corners(SIDE))
    seen, _ = cv2.projectPoints(corners, np.zeros(3), np.zeros(3), lens.matrix, lens.distortion)
    return seen.reshape(4, 2)


def errors(made: Made, found: Adjustment) -> tuple[np.ndarray, np.ndarray]:
    """Of the photos that are placed: centres in shares of their distance, turns in degrees."""
    return pose_errors(
        made, {n: rigid(pose.rotation, pose.translation) for n, pose in found.photos.items()}
    )


def pose_errors(made: Made, found: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    centres, turns = [], []
    for name, pose in found.items():
        right, got = (np.linalg.inv(p) for p in (made.photos[name], pose))
        off = np.linalg.norm(got[:3, 3] - right[:3, 3]) / np.linalg.norm(right[:3, 3])
        cosine = (np.trace(got[:3, :3].T @ right[:3, :3]) - 1) / 2
        centres.append(off)
        turns.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return np.array(centres), np.array(turns)


def alone(made: Made, tag: int) -> dict[str, np.ndarray]:
    """The photos as the best pose of one tag places each."""
    best = {n: tag_poses(LENS, seen[tag], SIDE)[0] for n, seen in made.shown.items() if tag in seen}
    return {
        n: rigid(p.rotation, p.translation) @ np.linalg.inv(made.tags[tag]) for n, p in best.items()
    }


@pytest.fixture(scope="module")
def made() -> Made:
    return make(count=12)


@pytest.fixture(scope="module")
def found(made) -> Adjustment:
    return adjust_tags(GUESS, made.shown, SIDE)


def test_cameras_are_recovered_to_the_noise(made, found):
    """More than twice as well as from single tags, whose lens is even known exactly."""
    assert (found.first, len(found.photos), found.lost) == (0, len(made.photos), {})
    centres, turns = errors(made, found)
    assert centres.max() < 0.005
    assert turns.max() < 0.2
    centres_alone, turns_alone = pose_errors(made, alone(made, 0))
    assert np.median(centres_alone) > 2 * np.median(centres)
    assert np.median(turns_alone) > 2 * np.median(turns)
    assert found.camera.matrix[0, 0] == pytest.approx(FOCAL, rel=0.002)
    assert found.camera.distortion[0] == pytest.approx(K1, abs=0.01)
    # The residuals of least squares: the noise less what the unknowns take of it.
    values = 8 * sum(len(seen) for seen in made.shown.values())
    unknown = 6 * len(made.photos) + 6 * 5 + 2
    expected = NOISE * np.sqrt(2 * (1 - unknown / values))
    assert found.camera.error == pytest.approx(expected, rel=0.06)


def test_tags_are_found_where_they_are(made, found):
    """One of them stands upright."""
    assert found.tags.keys() == made.tags.keys()
    for tag, place in made.tags.items():
        np.testing.assert_allclose(found.tags[tag][:3, 3], place[:3, 3], atol=0.001)
        np.testing.assert_allclose(found.tags[tag][:3, :3], place[:3, :3], atol=0.02)


def test_exact_corners_give_exact_poses():
    made = make(count=4, noise=0.0)
    centres, turns = errors(made, adjust_tags(LENS, made.shown, SIDE))
    assert centres.max() < 1e-5
    assert turns.max() < 1e-3


def test_photos_that_show_only_other_tags():
    """Each shows two neighbours in the row; the chain leads from one end to the other."""
    made = make(count=12)
    shown = {
        name_of(i): {tag: made.shown[name_of(i)][tag] for tag in (i % 4, i % 4 + 1)}
        for i in range(12)
        if {i % 4, i % 4 + 1} <= made.shown[name_of(i)].keys()
    }
    # Two photos of tags that no picture shows with the others.
    shown[name_of(12)] = {41: made.shown[name_of(0)][0], 42: made.shown[name_of(0)][1]}
    shown[name_of(13)] = {}
    found = adjust_tags(GUESS, shown, SIDE)
    assert found.lost == {name_of(12): TAG_APART}
    assert len(found.photos) == len(shown) - 2
    assert 41 not in found.tags
    moved = {name: pose @ made.tags[found.first] for name, pose in made.photos.items()}
    centres, turns = errors(replace(made, photos=moved), found)
    assert centres.max() < 0.02
    assert turns.max() < 0.5


def test_flips_of_single_tags_are_resolved():
    """From afar, the better pose of a tag is the wrong one in some photos."""
    made = make(count=12, distance=1.2, seed=3)
    _, turns_alone = pose_errors(made, alone(made, 0))
    assert (turns_alone > 20).sum() >= 2
    # Every third photo shows one tag alone.
    shown = {
        name: {0: seen[0]} if i % 3 == 0 else seen
        for i, (name, seen) in enumerate(made.shown.items())
    }
    found = adjust_tags(GUESS, shown, SIDE)
    _, turns = errors(made, found)
    assert turns.max() < 3
    # What cannot be known is not guessed.
    assert set(found.lost.values()) == {TAG_TWO_SIDED}
    assert set(found.lost) <= {name_of(i) for i in range(0, 12, 3)}


def test_a_scene_that_may_be_its_mirror_image_is_not_placed():
    made = make(count=6, distance=6.0, noise=0.5).without(1, 2, 3, 4, 5)
    found = adjust_tags(LENS, made.shown, SIDE)
    assert not found.photos
    assert set(found.lost.values()) == {TAG_TWO_SIDED}


def test_one_wrong_corner_is_left_out():
    made = make(count=8)
    made.shown[name_of(3)][2][1] += (15, -9)
    # A photo of one tag has nothing that its corners could be checked by, but the square.
    made = made.without(1, 2, 3, 4, 5, photos=range(5, 6))
    made.shown[name_of(5)][0][2] += (20, 20)
    found = adjust_tags(GUESS, made.shown, SIDE)
    assert found.lost == {name_of(5): TAG_UNFIT}
    for name, seen in found.kept.items():
        for tag, kept in seen.items():
            wrong = (name, tag) == (name_of(3), 2)
            assert kept.tolist() == [True, not wrong, True, True]
    centres, turns = errors(made, found)
    assert centres.max() < 0.005
    assert turns.max() < 0.3


def test_derivatives_are_those_of_the_residuals(made):
    names, generator = list(made.photos)[:3], np.random.default_rng(1)
    rows = [(i, tag, c) for i, name in enumerate(names) for tag, c in made.shown[name].items()]
    photo, tag, seen = zip(*rows, strict=True)
    bundle = Bundle(
        np.repeat(photo, 4),
        np.repeat(tag, 4),
        np.tile(tag_corners(SIDE), (len(rows), 1)),
        np.concatenate(seen) - LENS.matrix[:2, 2],
        1.0,
        np.zeros(6, dtype=bool),
        np.array([np.log(FOCAL), K1]),
    )
    photos = np.stack([made.photos[name] for name in names])
    state = State(photos, np.stack(list(made.tags.values())), bundle.lens)
    state = state.moved(generator.normal(0, 0.01, 6 * 9 + 2))
    off, jacobian, unknown = bundle.derivatives(state)
    np.testing.assert_allclose(off, bundle.residuals(state), atol=1e-9)
    for direction in generator.normal(0, 1, (5, 6 * 9 + 2)):
        ahead, behind = (bundle.residuals(state.moved(s * direction)) for s in (1e-6, -1e-6))
        expected = np.einsum("nij,nj->ni", jacobian, direction[unknown])
        np.testing.assert_allclose((ahead - behind) / 2e-6, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("size", [SIZE, (800, 600)])
@pytest.mark.parametrize(("error", "poor"), [(0.3, False), (1.8, True)])
def test_a_calibration_with_an_error_of_two_pixels_is_poor(error, poor, size):
    """At 1600 pixels; at half the size, half as many are."""
    scale = size[0] / SIZE[0]
    # Of a square's eight coordinates, its pose takes six: a quarter of the variance is left.
    made = make(noise=error / np.sqrt(0.5))
    views = [{tag: c * scale for tag, c in seen.items()} for seen in made.shown.values()]
    camera = calibrate(views, SIDE, size)
    assert camera.error == pytest.approx(error * scale, rel=0.15)
    assert camera.poor == poor


def test_covered_tags_do_not_spoil_a_calibration():
    made = make()
    for i in range(0, 20, 2):
        made.shown[name_of(i)][0][1] += (14, 11)
    camera = calibrate(list(made.shown.values()), SIDE, SIZE)
    assert 10 <= camera.left_out <= 15  # a few more by chance
    assert not camera.poor
    assert camera.matrix[0, 0] == pytest.approx(FOCAL, rel=0.01)
