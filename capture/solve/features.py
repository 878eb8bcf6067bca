"""Features and matches into COLMAP's database, with what little memory a laptop has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pycolmap

from capture.checks.contradictions import MATCHED, STRONG
from capture.input.photos import Photo
from capture.steps import watch

# glog's "fatal": pycolmap's warnings mean nothing to users, its errors arrive as exceptions.
pycolmap.logging.minloglevel = 3

_EXHAUSTIVE = 150  # photos up to which every pair is matched
_MEMORY = 700e6  # bytes that the threads of the extraction may take together


@dataclass(frozen=True)
class Effort:
    """How hard features are looked for, and how much they must agree.

    Attributes:
        octave: first octave of SIFT's scale space; -1 starts with the photo at twice its size,
            which finds three times the features in six times the time.
        features: most features of a photo.
        peak: contrast that a feature must have.
        start_inliers: matches of the two photos that a model starts from.
        pose_inliers: points that a further photo must see.
        start_angle: degrees between the rays of the first two photos.
    """

    name: str
    octave: int
    features: int
    peak: float
    start_inliers: int
    pose_inliers: int
    start_angle: float


QUICK = Effort("quick", 0, 4096, 0.02 / 3, 100, 30, 16.0)
THOROUGH = Effort("thorough", -1, 8192, 0.01 / 3, 50, 15, 6.0)


def room(photos: list[Photo], effort: Effort) -> int:
    """Bytes of the database that the features and matches of photos may take, and SQLite's log.

    A feature has 128 bytes and six numbers of four; a pair keeps some hundred matches, twice.
    """
    features = len(photos) * effort.features * (128 + 6 * 4)
    return 2 * (features + len(pairs_to_match(photos)) * 8_000)


def extract(database: Path, folder: Path, photos: list[Photo], effort: Effort) -> None:
    """Find the features of all photos that have none yet; photos of one camera share its lens."""
    options = pycolmap.FeatureExtractionOptions()
    options.sift.max_num_features = effort.features
    options.sift.first_octave = effort.octave
    options.sift.peak_threshold = effort.peak
    options.num_threads = _threads(photos, effort)

    def call(token: pycolmap.CancellationToken) -> None:
        by_camera = sorted(photos, key=lambda photo: (photo.camera, photo.name))
        for _, group in groupby(by_camera, key=lambda photo: photo.camera):
            names = [photo.name for photo in group]
            reader = pycolmap.ImageReaderOptions()
            # The group's first photo makes the camera that the others are given.
            for batch in (names[:1], names[1:]):
                if batch and not token.is_cancelled:
                    pycolmap.extract_features(
                        database,
                        folder,
                        image_names=batch,
                        camera_mode=pycolmap.CameraMode.SINGLE,
                        reader_options=reader,
                        extraction_options=options,
                        device=pycolmap.Device.cpu,
                        cancellation_token=token,
                    )
                    reader.existing_camera_id = _camera_of(database, names[0])

    # COLMAP's own SQLite counts: Python's, in the same process, would undo the file's locks.
    with pycolmap.Database.open(database) as opened:
        names = [photo.name for photo in photos]
        watch("features", len(names), lambda: sum(map(opened.exists_image, names)), call)


def match(database: Path, photos: list[Photo]) -> None:
    """Match the photos' features, pairs that are in the database already left out."""
    pairs = pairs_to_match(photos)
    listing = database.with_name("pairs.txt")
    listing.write_text("".join(f"{first} {second}\n" for first, second in pairs))
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = listing
    pairing.block_size = 30  # pairs that a killed run loses at most
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = 0

    def call(token: pycolmap.CancellationToken) -> None:
        pycolmap.match_image_pairs(
            database,
            pairing_options=pairing,
            verification_options=verification,
            device=pycolmap.Device.cpu,
            cancellation_token=token,
        )

    with pycolmap.Database.open(database) as opened:
        watch(
            "matches", len(pairs), lambda: len(opened.read_two_view_geometry_num_inliers()[0]), call
        )


def pairs_to_match(photos: list[Photo]) -> list[tuple[str, str]]:
    """All pairs of up to 150 photos; of more, those near in time and a coarse net over all.

    Neighbours and neighbours at 2, 4, 8, ... photos' distance follow the walk; the net, every
    pair of some 60 photos spread over it, closes its loops.
    """
    names = in_order(photos)
    count = len(names)
    if count <= _EXHAUSTIVE:
        return [(names[i], names[j]) for i in range(count) for j in range(i + 1, count)]
    steps = sorted({*range(1, 11), *(2**k for k in range(4, count.bit_length()))})
    chosen = {(i, i + step) for step in steps for i in range(count - step)}
    net = sorted(set(np.linspace(0, count - 1, 60).round().astype(int).tolist()))
    chosen |= {(i, j) for i in net for j in net if i < j}
    return [(names[i], names[j]) for i, j in sorted(chosen)]


def in_order(photos: list[Photo]) -> list[str]:
    """The photos' names, as they were taken."""
    return [photo.name for photo in sorted(photos, key=lambda photo: (photo.taken, photo.name))]


def feature_counts(database: Path) -> dict[str, int]:
    """Features of each photo."""
    with pycolmap.Database.open(database) as opened:
        return {
            image.name: opened.num_keypoints_for_image(image.image_id)
            for image in opened.read_all_images()
        }


def match_partners(database: Path) -> dict[str, int]:
    """To how many other photos each one was matched with at least 15 inliers."""
    with pycolmap.Database.open(database) as opened:
        names = {image.image_id: image.name for image in opened.read_all_images()}
        ids, inliers = opened.read_two_view_geometry_num_inliers()
    partners = dict.fromkeys(names.values(), 0)
    for pair, count in zip(ids, inliers, strict=True):
        if count >= MATCHED:
            for image_id in pycolmap.pair_id_to_image_pair(pair):
                partners[names[image_id]] += 1
    return partners


def turned_on_the_spot(database: Path) -> bool:
    """Whether the photos match as if the camera had turned without moving (or of a flat scene).

    All but one in fifty of the strongly matched pairs are such, and half of the photos are in one:
    a box on a plain floor has many too.
    """
    still = moved = 0
    photos: set[int] = set()
    kinds = pycolmap.TwoViewGeometryConfiguration
    with pycolmap.Database.open(database) as opened:
        count = opened.num_images()
        numbers, geometries = opened.read_two_view_geometries()
    for number, geometry in zip(numbers, geometries, strict=True):
        if len(geometry.inlier_matches) >= STRONG:
            photos |= set(pycolmap.pair_id_to_image_pair(number))
            flat = geometry.config in (kinds.PANORAMIC, kinds.PLANAR, kinds.PLANAR_OR_PANORAMIC)
            still, moved = still + flat, moved + (not flat)
    return still > 49 * moved and len(photos) >= 0.5 * count


def _threads(photos: list[Photo], effort: Effort) -> int:
    """As many threads as the memory of the scale space allows: some 60 bytes a pixel each."""
    pixels = max(photo.size[0] * photo.size[1] for photo in photos)
    each = 60.0 * pixels * (4 if effort.octave < 0 else 1)
    return int(np.clip(_MEMORY / each, 1, os.cpu_count() or 1))


def _camera_of(database: Path, name: str) -> int:
    with pycolmap.Database.open(database) as opened:
        image = opened.read_image_with_name(name)
    assert image is not None
    return image.camera_id
