"""What is said of a capture, how a scene is laid, and which photos are matched."""

from __future__ import annotations

import cv2
import numpy as np
import pycolmap
import pytest

from capture.checks.advice import Outcome, advise
from capture.checks.check import (
    TAG_APART,
    TAG_TWO_SIDED,
    Verdict,
    check_photos,
    check_solution,
    near_duplicates,
    parallax,
)
from capture.checks.contradictions import Consistency
from capture.checks.drift import color_drift
from capture.checks.measure import measure_photo
from capture.input.photos import Photo, camera_key
from capture.output.orient import dominant_plane, place
from capture.output.undistort import Undistorter, pinhole_of
from capture.solve.features import pairs_to_match
from errors import UserError
from geometry.poses import apply
from tests.capture_scene import orbit, pattern, points_seen, sideways


def photo(name: str, image: np.ndarray, taken: str = "", camera: str = "") -> Photo:
    size = (image.shape[1], image.shape[0])
    return Photo(name, name, size, camera, taken, "", measure_photo(image))


def scaled(image: np.ndarray, factors) -> np.ndarray:
    """The photo with its linear light multiplied."""
    linear = (image / 255.0) ** 2.2 * np.asarray(factors)
    return (255 * linear.clip(0, 1) ** (1 / 2.2) + 0.5).astype(np.uint8)


def grey_on_average(seed: int) -> np.ndarray:
    image = pattern(seed, 300).astype(float)
    return (100 + 0.4 * (image - image.mean((0, 1)))).clip(0, 255).astype(np.uint8)


def test_flaws_are_found_against_the_set():
    good = [grey_on_average(i) for i in range(8)]
    images = {f"{i}": image for i, image in enumerate(good)}
    images["blurred"] = cv2.GaussianBlur(grey_on_average(20), (0, 0), 3)
    images["dark"] = scaled(grey_on_average(21), 0.3)
    images["blue"] = scaled(grey_on_average(22), (0.8, 1, 1.8))
    images["plain"] = np.full((300, 300, 3), 120, np.uint8)
    images["twin"] = np.clip(good[3].astype(int) + 1, 0, 255).astype(np.uint8)
    verdicts = check_photos([photo(name, image) for name, image in images.items()])
    assert all(str(verdicts[f"{i}"]) == "good" for i in range(8))
    assert verdicts["blurred"].notes == ("blurred",)
    assert "darker" in verdicts["dark"].notes
    assert "other colours" in verdicts["blue"].notes
    assert "no texture" in verdicts["plain"].notes
    assert verdicts["twin"].notes == ("same as 3",)


def test_the_same_photo_many_times_is_one_view():
    twins = near_duplicates([photo(f"{i}", pattern(0, 200)) for i in range(20)])
    assert len(twins) == 19


def test_lost_photos_are_named_with_a_reason():
    verdicts = {name: Verdict(name, ()) for name in "abc"}
    result = check_solution(verdicts, {"a"}, {"a": 900, "b": 50, "c": 900}, {"c": 2}, {})
    assert str(result["a"]) == "good"
    assert str(result["b"]) == "NOT PLACED (matches no other photo), little texture"
    assert str(result["c"]) == "NOT PLACED (overlaps too little)"


@pytest.mark.parametrize(
    ("notes", "placed", "angle", "words"),
    [
        ("blurred", 20, 20.0, "more light"),
        ("no texture", 20, 20.0, "patterned"),
        ("same as x", 20, 20.0, "same view"),
        ("brighter", 20, 20.0, "AE/AF"),
        ("", 8, 20.0, "more in between"),
        ("", 20, 1.0, "instead of turning"),
    ],
)
def test_advice(notes, placed, angle, words):
    verdicts = [Verdict(str(i), (notes,) if notes and i % 2 else ()) for i in range(20)]
    assert words in " ".join(advise(Outcome(verdicts, placed, angle)))


def clean(count: int, *notes: str) -> list[Verdict]:
    """Verdicts without a word, but for the first ones, which have a note each."""
    return [Verdict(str(i), notes[i : i + 1]) for i in range(count)]


def consistency(torn: int = 0, weak: int = 0, against: int = 0, breaks: int = 0) -> Consistency:
    names = [str(i) for i in range(20)]
    return Consistency(
        *(frozenset(names), 100, against, 9, 0),
        *(tuple(names[:torn]), breaks, tuple(names[:weak]), 50, False),
    )


@pytest.mark.parametrize(
    ("outcome", "words", "unsaid"),
    [
        # Poses in doubt are said first, and why.
        (
            Outcome(clean(20), 20, 20.0, consistency=consistency(torn=4, against=12)),
            "in doubt (12 of 100 strongly matched pairs",
            "lost",
        ),
        (
            Outcome(clean(20), 20, 20.0, consistency=consistency(weak=12)),
            "12 photos hold on to next to nothing",
            "look alike",
        ),
        (
            Outcome(clean(20), 12, 20.0, consistency=consistency(breaks=4)),
            "4 photos are missing beside their neighbours",
            "pairs",
        ),
        (
            Outcome(clean(20), 20, 20.0, consistency=consistency(), by_order=True),
            "only the order of the photos",
            "in doubt",
        ),
        # Tags.
        (
            Outcome(clean(20, *["NOT PLACED (no tag seen)"] * 8), 12, 20.0),
            "tag is not visible in 8 of 20",
            "in between",
        ),
        (
            Outcome(clean(20, f"NOT PLACED ({TAG_TWO_SIDED})"), 19, 20.0),
            "In 1 of 20 photos the tag is so small",
            "in between",
        ),
        (
            Outcome(clean(20, *[f"NOT PLACED ({TAG_APART})"] * 5), 15, 20.0),
            "take some that show both",
            "in between",
        ),
        (Outcome(clean(20), 20, 20.0, calibration=1.84), "(error 1.8 pixels;", "few"),
        # Motion; none is spoken of where nothing could be placed.
        (Outcome(clean(20), 20, 1.0, video=True), "film for longer", "turning on the spot"),
        (Outcome(clean(20), 0, None), "in between", "hardly moved"),
        (Outcome(clean(20), 0, None, on_the_spot=True), "camera that only turned", "hardly moved"),
        # One photo from another side among the good ones, and photos of twenty things.
        (
            Outcome(clean(20, "NOT PLACED (matches no other photo)"), 19, 20.0),
            "a side that no neighbour shares",
            "nothing that the others show",
        ),
        (
            Outcome(clean(20, *["NOT PLACED (matches no other photo)"] * 20), 0, None),
            "match no other",
            "in between",
        ),
        (Outcome(clean(20), 20, 20.0, sizes=18), "18 sizes, as crops have", "few"),
        (Outcome(clean(20), 20, 20.0, sizes=2), "", "crops"),
    ],
)
def test_advice_fits_its_cause(outcome, words, unsaid):
    advice = " ".join(advise(outcome))
    assert words in advice
    assert unsaid not in advice


@pytest.mark.parametrize("video", [False, True])
def test_seven_photos_are_few_whatever_else_is_said(video):
    blurred = [Verdict(str(i), ("no texture", "blurred")) for i in range(7)]
    for verdicts in (clean(7), blurred):
        assert "7 photos are few" in " ".join(advise(Outcome(verdicts, 7, 1.0, video=video)))


def test_what_contradicts_is_said_of_single_photos():
    found = Consistency(frozenset("abc"), 9, 4, 0, 0, ("a",), 0, ("b",), 50, False)
    result = check_solution(
        {name: Verdict(name, ()) for name in "abcd"},
        set("abc"),
        {},
        {"d": 3},
        {},
        contested=frozenset("d"),
        consistency=found,
    )
    assert [str(result[name]) for name in "abcd"] == [
        "PLACE IN DOUBT",
        "few points",
        "good",
        "NOT PLACED (fits several places)",
    ]


def test_a_good_capture_needs_no_advice():
    assert advise(Outcome([Verdict(str(i), ()) for i in range(30)], 30, 25.0)) == []


def test_color_drift_is_measured_at_common_points():
    """One photo a stop darker, another with a stop more red; the others share the difference."""
    model = points_seen(orbit(4))
    flat = np.full((300, 400, 3), 100, np.uint8)
    images = {"01.jpg": flat, "02.jpg": scaled(flat, 0.5), "03.jpg": scaled(flat, (2, 1, 1))}
    drift = color_drift(model, lambda name: images.get(name, flat))
    exposure = {name: values.mean() for name, values in drift.items()}
    assert exposure["02.jpg"] - exposure["01.jpg"] == pytest.approx(-1, abs=0.1)
    red = drift["03.jpg"][0] - drift["03.jpg"][1]
    assert red - (drift["01.jpg"][0] - drift["01.jpg"][1]) == pytest.approx(1, abs=0.1)


def test_parallax_is_the_angle_between_rays():
    centre = np.array([0, 0, 0.4])
    model = points_seen(sideways(2))
    a, b = (pose[:, 3] - centre for pose in sideways(2))
    angle = np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    assert parallax(model) == pytest.approx(angle, rel=0.1)
    # Points that one photo sees, or none.
    (first, second, *_) = model.points3D.values()
    model.delete_observation(first.track.elements[0].image_id, first.track.elements[0].point2D_idx)
    second.track = pycolmap.Track()
    assert parallax(model) == pytest.approx(angle, rel=0.1)


def random_similarity(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    matrix = np.eye(4)
    matrix[:3, :3] = generator.uniform(0.2, 5) * rotation
    matrix[:3, 3] = generator.normal(size=3) * 10
    return matrix


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["surround", "forward-facing"])
def test_a_turned_scene_is_put_upright(seed, kind):
    """Whatever frame the solver chose, +z is up again, and the subject at the origin."""
    generator = np.random.default_rng(seed)
    poses = orbit(15) if kind == "surround" else sideways(7)
    floor = np.c_[generator.uniform(-2, 2, (300, 2)), generator.normal(0, 0.002, 300)]
    subject = generator.normal([0, 0, 0.3], 0.2, (200, 3))
    points = np.concatenate([floor, subject])
    matrix = random_similarity(seed)
    placement = place(apply(matrix, poses), points @ matrix[:3, :3].T + matrix[:3, 3])
    assert placement.kind == kind
    whole = placement.to_scene @ matrix
    scale = np.cbrt(np.linalg.det(whole[:3, :3]))
    tilt = np.degrees(np.arccos((whole[2, 2] / scale).clip(-1, 1)))
    assert tilt < (
        0.2 if kind == "surround" else 15
    )  # cameras that look down a little have no floor
    centre = -np.linalg.solve(whole[:3, :3], whole[:3, 3])
    assert np.linalg.norm(centre - [0, 0, 0.3]) < (0.05 if kind == "surround" else 0.6)
    distance = np.linalg.norm(apply(whole, poses)[:, :, 3], axis=1).mean()
    assert distance == pytest.approx(1)


def test_a_look_around_a_room_is_told_apart():
    poses = orbit(12)
    poses[:, :, [0, 2]] *= -1  # turned to look outwards
    poses[:, :, 3] *= 0.1
    points = np.random.default_rng(0).normal(size=(100, 3)) * 3
    assert place(poses, points).kind == "trajectory"


def test_no_plane_in_a_cloud():
    up = np.array([0.0, 0, 1])
    assert dominant_plane(np.random.default_rng(0).normal(size=(500, 3)), up) is None
    wall = np.random.default_rng(0).uniform(-1, 1, (500, 3)) * [1, 0, 1]
    assert dominant_plane(wall, up) is None


@pytest.mark.parametrize("count", [3, 40, 150])
def test_few_photos_are_matched_exhaustively(count):
    photos = [photo(f"{i:03d}", np.zeros((64, 64, 3), np.uint8)) for i in range(count)]
    assert len(set(pairs_to_match(photos))) == count * (count - 1) // 2


def test_many_photos_are_matched_by_time():
    """Far fewer pairs than all; neighbours in time, not in name, are among them; loops close."""
    base = photo("x", np.zeros((64, 64, 3), np.uint8))
    count = 600
    names = [f"{(i * 7) % count:03d}" for i in range(count)]
    photos = [
        Photo(name, name, base.size, "", f"2024:01:01 00:{i // 60:02d}:{i % 60:02d}", "", base.look)
        for i, name in enumerate(names)
    ]
    pairs = pairs_to_match(photos)
    assert len(pairs) < 0.08 * count * count / 2
    assert {(names[i], names[i + 1]) for i in range(count - 1)} <= set(pairs)
    assert any({a, b} == {names[0], names[-1]} for a, b in pairs)


def test_cameras_are_told_apart():
    make, model, focal = 0x010F, 0x0110, 0x920A
    key = camera_key({make: "A", model: "One", focal: 4.2}, (400, 300))
    assert key == camera_key({make: "A\0", model: "One ", focal: 4.2}, (400, 300))
    assert key != camera_key({make: "A", model: "One", focal: 6.0}, (400, 300))
    assert key != camera_key({make: "A", model: "Two", focal: 4.2}, (400, 300))
    assert key != camera_key({make: "A", model: "One", focal: 4.2}, (300, 400))


@pytest.mark.parametrize("focal", [(0, 300), (300, 0), (300, np.nan), (1e-300, 300), (np.inf, 300)])
def test_impossible_focal_lengths_are_told(focal):
    camera = pycolmap.Camera.create_from_model_name(1, "PINHOLE", 300, 400, 300)
    camera.params = [*focal, 200, 150]
    with pytest.raises(UserError, match="focal lengths"):
        pinhole_of(camera)


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("SIMPLE_RADIAL", [300, 200, 150, 0.1]),
        ("SIMPLE_RADIAL", [300, 200, 150, -0.15]),
        ("OPENCV", [300, 310, 205, 144, 0.08, -0.02, 0.001, -0.002]),
        ("OPENCV_FISHEYE", [250, 250, 200, 150, 0.05, 0.01, 0, 0]),
        ("PINHOLE", [300, 330, 190, 155]),
    ],
)
def test_every_lens_becomes_a_centred_pinhole(model, params):
    camera = pycolmap.Camera.create_from_model_name(1, model, 300, 400, 300)
    camera.params = params
    pinhole = pinhole_of(camera)
    # A ray's colour: its direction, painted where the lens shows it.
    u, v = np.meshgrid(np.arange(400) + 0.5, np.arange(300) + 0.5)
    rays = np.asarray(camera.cam_from_img(np.stack([u, v], -1).reshape(-1, 2)))
    painted = (rays.reshape(300, 400, 2) + 1.5).astype(np.float32)
    undistorter = Undistorter(camera)
    shown = undistorter.image(painted) - 1.5
    u, v = np.meshgrid(np.arange(pinhole.width) + 0.5, np.arange(pinhole.height) + 0.5)
    expected = np.stack([u - pinhole.width / 2, v - pinhole.height / 2], -1) / pinhole.focal
    np.testing.assert_allclose(shown[4:-4, 4:-4], expected[4:-4, 4:-4], atol=0.3 / 300)
    # All of the new photo lies within the old one, and most of the old one is kept.
    assert undistorter.map.min() > -1.0
    assert (undistorter.map.max((0, 1)) < [400, 300]).all()
    kept = pinhole.width * pinhole.height / (400 * 300 * (pinhole.focal / 300) ** 2)
    assert kept > 0.7
