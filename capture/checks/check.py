"""Whether a capture is good enough, photo by photo and as a whole, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from jaxtyping import Float

from capture.checks.contradictions import Consistency
from capture.input.photos import Photo
from datasets.sparse.model import registered

FEWEST = 3  # photos that poses can be solved from
_BLURRED = 0.35  # of the set's median sharpness
_DARK = 1.0  # stops from the set's median, before the photos' common points are known
_TINTED = 0.4  # stops
_DRIFT = 0.35  # stops at common points
_TINT_DRIFT = 0.2  # stops
_SAME = 1.2  # grey levels between 16 x 16 thumbnails
_FEATURES = 200
_FLAT = 6.0  # grey levels of standard deviation
# Why a photo has no pose.
NO_PARTNER = "matches no other photo"
NO_TAG = "no tag seen"
TAG_UNFIT = "the tag is bent or covered"
TAG_APART = "its tags are in no picture with the others"
TAG_TWO_SIDED = "the tag looks alike from two sides"


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one photo: `notes` is empty where all is well."""

    name: str
    notes: tuple[str, ...]

    def with_notes(self, *notes: str) -> Verdict:
        return Verdict(self.name, (*self.notes, *notes))

    def __str__(self) -> str:
        return ", ".join(self.notes) or "good"


def check_photos(photos: Sequence[Photo]) -> dict[str, Verdict]:
    """Blur, exposure, colour, doubles and texture, each against the set's own median."""
    looks = [photo.look for photo in photos]
    sharp = np.median([look.sharpness for look in looks])
    exposure = np.median([look.exposure for look in looks])
    red, blue = np.median([[look.red, look.blue] for look in looks], axis=0)
    twins = near_duplicates(photos)
    verdicts = {}
    for photo in photos:
        look, notes = photo.look, []
        if look.texture < _FLAT:
            notes.append("no texture")
        elif look.sharpness < _BLURRED * sharp:
            notes.append("blurred")
        if abs(look.exposure - exposure) > _DARK:
            notes.append("darker" if look.exposure < exposure else "brighter")
        if np.hypot(look.red - red, look.blue - blue) > _TINTED:
            notes.append("other colours")
        if photo.name in twins:
            notes.append(f"same as {twins[photo.name]}")
        verdicts[photo.name] = Verdict(photo.name, tuple(notes))
    return verdicts


def near_duplicates(photos: Sequence[Photo]) -> dict[str, str]:
    """Photos that show the same as an earlier one, and that one's name."""
    twins: dict[str, str] = {}
    if not photos:
        return twins
    thumbs = np.array([photo.look.thumb for photo in photos], dtype=np.float32)
    originals: list[int] = []
    for i, photo in enumerate(photos):
        if originals:
            difference = np.abs(thumbs[originals] - thumbs[i]).mean(axis=1)
            nearest = int(difference.argmin())
            if difference[nearest] < _SAME:
                twins[photo.name] = photos[originals[nearest]].name
                continue
        originals.append(i)
    return twins


def check_solution(
    verdicts: Mapping[str, Verdict],
    placed: set[str],
    features: Mapping[str, int],
    partners: Mapping[str, int],
    drift: Mapping[str, Float[np.ndarray, "3"]],
    contested: frozenset[str] = frozenset(),
    consistency: Consistency | None = None,
) -> dict[str, Verdict]:
    """The verdicts with what solving showed: lost photos, and colour at common points.

    Args:
        placed: photos with a pose.
        features, partners: of each photo, as far as they are known.
        drift: of exposure and colour, of placed photos.
        contested: photos that are not placed because their matches contradict each other.
        consistency: how the poses agree with the matches.
    """
    torn = set() if consistency is None else set(consistency.torn)
    weak = set() if consistency is None else set(consistency.weak)
    result = {}
    for name, verdict in verdicts.items():
        # What common points say of exposure and colour is better than the first look; and a
        # photo of something else is no sign of an unsteady camera.
        known = name in drift or name not in placed
        guessed = ("darker", "brighter", "other colours") if known else ()
        verdict = Verdict(name, tuple(note for note in verdict.notes if note not in guessed))
        if features.get(name, _FEATURES) < _FEATURES and "no texture" not in verdict.notes:
            verdict = verdict.with_notes("little texture")
        if name not in placed:
            reason = NO_PARTNER if partners.get(name, 0) == 0 else "overlaps too little"
            if name in contested:
                reason = "fits several places"
            verdict = Verdict(name, (f"NOT PLACED ({reason})", *verdict.notes))
        elif name in drift and np.isfinite(drift[name]).all():
            red, green, blue = drift[name]
            exposure = (red + green + blue) / 3
            if abs(exposure) > _DRIFT:
                verdict = verdict.with_notes("darker" if exposure < 0 else "brighter")
            if max(abs(red - green), abs(blue - green)) > _TINT_DRIFT:
                verdict = verdict.with_notes("other colours")
        if name in torn:
            verdict = Verdict(name, ("PLACE IN DOUBT", *verdict.notes))
        elif name in weak:
            verdict = Verdict(name, ("few points", *verdict.notes))
        result[name] = verdict
    return result


def parallax(model: pycolmap.Reconstruction) -> float:
    """Median over the points of the largest angle between the rays that see them, in degrees.

    Between the first photo that sees a point and the others, which is near enough. Points that no
    two photos see tell nothing.
    """
    centre = {image.image_id: image.projection_center() for image in registered(model)}
    angles = []
    for point in list(model.points3D.values())[:5000]:
        seen_from = [centre[e.image_id] for e in point.track.elements if e.image_id in centre]
        rays = np.array(seen_from).reshape(-1, 3) - point.xyz
        length = np.linalg.norm(rays, axis=1, keepdims=True)
        if len(rays) < 2 or not (length > 0).all():
            continue
        rays /= length
        angles.append(np.degrees(np.arccos((rays[1:] @ rays[0]).clip(-1, 1))).max())
    return float(np.median(angles)) if angles else 0.0
