"""What would help most, in a few sentences: each with the cause that it is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capture.checks.check import (
    NO_PARTNER,
    NO_TAG,
    TAG_APART,
    TAG_TWO_SIDED,
    TAG_UNFIT,
    Verdict,
)
from capture.checks.contradictions import Consistency

_FEW = 15  # photos under which a scene stays poor
_PARALLAX = 4.0  # degrees
_MOST = 3  # sentences, besides the one on too few photos
# What helps photos that tags do not place, by the reason.
_OF_TAGS = {
    NO_TAG: "The tag is not visible in {}, which are left out: keep it whole, with its white "
    "border, in each picture.",
    TAG_APART: "{} show tags that no photo shows together with the others, and are left out: take "
    "some that show both.",
    TAG_TWO_SIDED: "In {} the tag is so small that it looks alike from two sides, and they are "
    "left out: go nearer, or lay several tags of one size beside each other.",
    TAG_UNFIT: "In {} the tag is bent, unsharp or covered, and they are left out: glue it to "
    "something stiff, and hold still.",
}


@dataclass(frozen=True)
class Outcome:
    """What is known of a capture when its solve has ended.

    Attributes:
        verdicts: of all photos.
        placed: photos with a pose.
        angle: parallax in degrees; None where nothing was solved.
        on_the_spot: whether matched photos look as if the camera had turned without moving.
        consistency: how the poses agree with the matches; None where that is not known.
        by_order: whether only the order of the photos tells sides apart that look alike.
        sizes: how many different sizes the photos have.
        video: whether the photos are frames of a video.
        calibration: the error of a poor calibration in pixels; None for a good one.
    """

    verdicts: Sequence[Verdict]
    placed: int
    angle: float | None = None
    on_the_spot: bool = False
    consistency: Consistency | None = None
    by_order: bool = False
    sizes: int = 1
    video: bool = False
    calibration: float | None = None

    def share(self, word: str) -> float:
        """The share of photos with a note that contains the word."""
        found = sum(any(word in note for note in v.notes) for v in self.verdicts)
        return found / max(1, len(self.verdicts))


def advise(outcome: Outcome) -> list[str]:
    """Up to four sentences, the weightiest first; none for a good capture."""
    count = len(outcome.verdicts)
    advice = [
        *_of_the_calibration(outcome),
        *_of_poses(outcome),
        *_of_the_camera(outcome),
        *_of_photos(outcome),
    ][:_MOST]
    if count < _FEW:
        advice.append(f"{count} photos are few: 30 to 60 around the subject give a better scene.")
    return advice


def _of_the_calibration(outcome: Outcome) -> list[str]:
    """Whether the focal length can be believed, where tags tell it."""
    if outcome.calibration is None:
        return []
    return [
        f"The calibration is bad (error {outcome.calibration:.1f} pixels; sharp photos of a flat "
        "tag leave 0.3), and distances and poses may be, too: print the tag anew, glue it to "
        "something stiff and flat, photograph it sharp and slanted, from ten directions, near and "
        "far, with the zoom of the other photos, and name the folder with --calibration."
    ]


def _of_poses(outcome: Outcome) -> list[str]:
    """Whether the poses can be believed."""
    found = outcome.consistency
    if found is None:
        return []
    if found.contradicted or (found.doubtful and found.breaks):
        reason = f"{found.against} of {found.strong} strongly matched pairs contradict them"
        if not found.contradicted:
            reason = f"{found.breaks} photos are missing beside their neighbours in the walk"
        elif not found.against:
            reason = f"{found.strangers} of {found.near} pairs with the same view share nothing"
        return [
            f"The poses are in doubt ({reason}), as where sides look alike: look at cameras.png. "
            "Take the photos again, one beside the other in one walk, with something patterned "
            "around the subject that differs from side to side, such as an open newspaper, and "
            "nothing cut out."
        ]
    if found.doubtful:
        return [
            f"The poses are in doubt ({len(found.weak)} photos hold on to next to nothing): look "
            "at cameras.png. Keep patterned surroundings in the picture, and cut nothing out."
        ]
    if outcome.by_order:
        return [
            "Sides look alike, so that only the order of the photos tells them apart: look at "
            "cameras.png; something patterned around the subject, such as an open newspaper, "
            "would settle it."
        ]
    return []


def _of_the_camera(outcome: Outcome) -> list[str]:
    """How the camera was moved, and whether the photos are as it took them."""
    count, advice = len(outcome.verdicts), []
    if count >= 4 and outcome.sizes > 0.5 * count:
        advice.append(
            f"The {count} photos have {outcome.sizes} sizes, as crops have: their lens cannot be "
            "known. Take the photos as they came from the camera, uncropped."
        )
    if outcome.share("same as") > 0.3:
        advice.append(
            "Many frames show the same view: keep moving while filming."
            if outcome.video
            else "Many photos show the same view: take a step to the side between one and the next."
        )
    remedy = "walk sideways or around the subject instead of turning on the spot"
    if outcome.video:
        remedy = "film for longer, some 30 seconds, while walking around the subject"
    if outcome.on_the_spot:
        advice.append(
            "The photos match as those of a camera that only turned, or of something flat, which "
            f"tells no depth: {remedy}."
        )
    elif outcome.placed and outcome.angle is not None and outcome.angle < _PARALLAX:
        advice.append(f"The camera hardly moved, too little for depth: {remedy}.")
    return advice


def _of_photos(outcome: Outcome) -> list[str]:
    """What the photos show."""
    count, advice = len(outcome.verdicts), []
    if outcome.share("texture") > 0.3:
        advice.append(
            "There is too little to hold on to: put the subject on something patterned, such as "
            "a newspaper, and keep the surroundings in the picture."
        )
    if outcome.share("blurred") > 0.15:
        advice.append("Several photos are blurred: use more light, and hold still for each one.")
    of_tags = [
        text.format(f"{round(outcome.share(reason) * count)} of {count} photos")
        for reason, text in _OF_TAGS.items()
        if outcome.share(reason)
    ]
    if of_tags:
        advice += of_tags
    elif outcome.share(NO_PARTNER) > 0.5:
        advice.append(
            "Most photos match no other: photograph one thing, so that each photo shows two thirds "
            "of what the one before shows."
        )
    elif outcome.placed < 0.9 * count and len(advice) < _MOST:
        advice.append(
            "Photos are lost where neighbours share too little: take more in between, so that "
            "each shows two thirds of what the one before shows."
        )
    elif outcome.share(NO_PARTNER):
        advice.append(
            "A photo that matches no other shows a side that no neighbour shares, or something "
            "else: take photos on the way to that side, or leave it out."
        )
    uneven = sum(outcome.share(word) for word in ("darker", "brighter", "other colours"))
    if outcome.angle is not None and uneven > 0.15:
        advice.append(
            "Brightness or colour changes between photos: hold the finger on the subject until "
            "the phone locks focus and exposure (AE/AF lock)."
        )
    return advice
