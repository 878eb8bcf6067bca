"""What a user should know of a path: how far it goes, what photos do not support, what mends it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from geometry.poses import Poses
from paths.nearness import NEAR
from paths.path import Frames
from paths.support import Seen

# Share of a frame's pixels whose surface two photos should have seen.
LEAST_SUPPORT = 0.95


@dataclass(frozen=True)
class Figures:
    """What is known of a path.

    Attributes:
        angle: degrees of each frame to its nearest photo, seen from the subject.
        distance: of each frame over the nearest distance that photos have there: 1 in their range.
        blocked: number of frames too near to a surface, or behind one.
        seen: what the frames show; None without depth.
        covered: degrees around the subject that an arc's photos cover; None for other kinds.
        frames, photos: their poses.
        names: of the photos, where they are known.
    """

    angle: Float[np.ndarray, "frame"]
    distance: Float[np.ndarray, "frame"]
    blocked: int
    seen: Seen | None
    covered: float | None
    frames: Frames
    photos: Poses
    names: list[str | None]


def notes_of(figures: Figures) -> tuple[str, ...]:
    """A sentence each for what is not as it should be, the most important last."""
    notes = []
    count = len(figures.angle)
    if figures.covered is not None and figures.covered < 360:
        notes.append(
            f"photos without a gap cover {figures.covered:.0f} of 360 degrees around the subject, "
            "and the path swings there; photos from the other sides, 20 degrees apart, would "
            "close the circle"
        )
    far = int((figures.angle > NEAR + 0.5).sum())
    if far:
        photo = _nearest_name(figures, int(figures.angle.argmax()))
        notes.append(
            f"{far} of {count} frames are more than {NEAR:.0f} degrees from any photo, up to "
            f"{figures.angle.max():.0f}; photos between, beginning beside {photo}, would mend it"
        )
    near, away = int((figures.distance < 0.97).sum()), int((figures.distance > 1.03).sum())
    if near:
        notes.append(f"{near} of {count} frames are nearer to the subject than photos are there")
    if away:
        notes.append(f"{away} of {count} frames are farther away than photos are there")
    if figures.blocked:
        notes.append(
            f"{figures.blocked} of {count} frames are too near to a surface, or behind one; a "
            "path between the photos (--path interp) or another --path_radius may be free"
        )
    if figures.seen is not None and (figures.seen.support < LEAST_SUPPORT).any():
        notes.append(_support_note(figures, figures.seen))
    return tuple(notes)


def _support_note(figures: Figures, seen: Seen) -> str:
    missing = np.maximum(LEAST_SUPPORT - seen.support, 0)
    place = (missing[:, None] * seen.unseen).sum(0) / missing.sum()
    photo = _nearest_name(figures, int(seen.support.argmin()))
    return (
        f"{(missing > 0).sum()} of {len(missing)} frames show parts that fewer than two photos "
        f"saw, up to {100 * (1 - seen.support.min()):.0f} % of a frame, mostly {_in_words(place)}; "
        f"more photos beside {photo} that take in what is there would mend it"
    )


def _in_words(place: Float[np.ndarray, "2"]) -> str:
    """Where in a picture: right and up of its middle, -1 to 1."""
    right, over = float(place[0]), float(place[1])
    if np.hypot(right, over) < 0.25:
        return "in the middle or on all sides"
    if abs(right) > abs(over):
        return "on the right" if right > 0 else "on the left"
    return "at the top" if over > 0 else "at the bottom"


def _nearest_name(figures: Figures, frame: int) -> str:
    offset = figures.photos[:, :, 3] - figures.frames[frame, :, 3]
    index = int(np.linalg.norm(offset, axis=1).argmin())
    return figures.names[index] or f"photo {index + 1}"
