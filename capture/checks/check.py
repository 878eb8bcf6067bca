"""Whether a capture is good enough, photo by photo and as a whole, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from jaxtyping import Float

from capture.input.photos import Photo
from datasets.sparse.model import registered

FEWEST = 3  # photos that poses can be solved from
_FEW = 15  # photos under which a scene stays poor
_BLURRED = 0.35  # of the set's median sharpness
_DARK = 1.0  # stops from the set's median, before the photos' common points are known
_TINTED = 0.4  # stops
_DRIFT = 0.35  # stops at common points
_TINT_DRIFT = 0.2  # stops
_SAME = 1.2  # grey levels between 16 x 16 thumbnails
_FEATURES = 200
_FLAT = 6.0  # grey levels of standard deviation
_PARALLAX = 4.0  # degrees


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
) -> dict[str, Verdict]:
    """The verdicts with what solving showed: lost photos, and colour at common points."""
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
            lonely = partners.get(name, 0) == 0
            reason = "shows nothing that the others show" if lonely else "overlaps too little"
            verdict = Verdict(name, (f"NOT PLACED ({reason})", *verdict.notes))
        elif name in drift and np.isfinite(drift[name]).all():
            red, green, blue = drift[name]
            exposure = (red + green + blue) / 3
            if abs(exposure) > _DRIFT:
                verdict = verdict.with_notes("darker" if exposure < 0 else "brighter")
            if max(abs(red - green), abs(blue - green)) > _TINT_DRIFT:
                verdict = verdict.with_notes("other colours")
        result[name] = verdict
    return result


def parallax(model: pycolmap.Reconstruction) -> float:
    """Median over the points of the largest angle between the rays that see them, in degrees.

    Between the first photo that sees a point and the others, which is near enough.
    """
    centre = {image.image_id: image.projection_center() for image in registered(model)}
    angles = []
    for point in list(model.points3D.values())[:5000]:
        rays = np.array([centre[e.image_id] for e in point.track.elements]) - point.xyz
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        angles.append(np.degrees(np.arccos((rays[1:] @ rays[0]).clip(-1, 1))).max())
    return float(np.median(angles)) if angles else 0.0


def advise(
    verdicts: Sequence[Verdict], placed: int, angle: float | None, on_the_spot: bool
) -> list[str]:
    """One or two sentences that help most, the weightiest first.

    Args:
        verdicts: of all photos.
        placed: photos with a pose.
        angle: parallax in degrees; None where nothing was solved.
        on_the_spot: whether the camera seems to have turned without moving.
    """

    def share(word: str) -> float:
        return sum(any(word in note for note in v.notes) for v in verdicts) / len(verdicts)

    count, advice = len(verdicts), []
    if share("same as") > 0.3:
        advice.append(
            "Many photos show the same view: take a step to the side between one and the next."
        )
    if on_the_spot or (angle is not None and angle < _PARALLAX):
        advice.append(
            "The camera hardly moved: walk sideways or around the subject instead of turning on "
            "the spot."
        )
    if share("texture") > 0.3:
        advice.append(
            "There is too little to hold on to: put the subject on something patterned, such as "
            "a newspaper, and keep the surroundings in the picture."
        )
    if share("blurred") > 0.15:
        advice.append("Several photos are blurred: use more light, and hold still for each one.")
    if placed < 0.9 * count and len(advice) < 2:
        advice.append(
            "Photos are lost where neighbours share too little: take more in between, so that "
            "each shows two thirds of what the one before shows."
        )
    uneven = share("darker") + share("brighter") + share("other colours")
    if angle is not None and uneven > 0.15:
        advice.append(
            "Brightness or colour changes between photos: hold the finger on the subject until "
            "the phone locks focus and exposure (AE/AF lock)."
        )
    if count < _FEW:
        advice.append(f"{count} photos are few: 30 to 60 around the subject give a better scene.")
    return advice[:2]
