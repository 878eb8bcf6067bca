"""What kind of capture a set of cameras is: the one place where this is decided.

It follows from what the cameras do alone, their positions and optical axes: no unit, no photo
and no name of a format comes into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from geometry.poses import Poses, focus_point, normalize

CaptureKind = Literal["surround", "arc", "dome", "forward-facing", "trajectory"]

# Degrees between the axes of the outermost cameras up to which they look the same way: a phone
# moved about in a plane stays under it (fern of LLFF: 18), an arc of 60 degrees does not.
_SAME_WAY = 45.0
# How far a camera may look past the subject, as half of a phone's long side shows.
_AIM = 35.0
# A gap between neighbours that is no open side yet: five photos around stand 72 degrees apart.
_OPEN_SIDE = 75.0
# Degrees above the subject's horizon of a circle seen from above, and between a lowest and a
# highest circle.
_DOME_ELEVATION = 35.0
_DOME_HEIGHTS = 20.0


@dataclass(frozen=True)
class Capture:
    """What the cameras do.

    Attributes:
        kind: the word for it.
        subject: the point that the cameras look at; before them, where they look the same way.
        up: the axis around which the cameras turn, a unit vector.
        azimuth: degrees around `up` that the cameras cover, as seen from the subject, up to 360.
        elevation: lowest and highest camera over the subject's horizon (5th and 95th percentile),
            in degrees.
        inward: share of the cameras that look at the subject.
    """

    kind: CaptureKind
    subject: Float[np.ndarray, "3"]
    up: Float[np.ndarray, "3"]
    azimuth: float
    elevation: tuple[float, float]
    inward: float

    def __str__(self) -> str:
        if self.kind in ("forward-facing", "trajectory"):
            return self.kind
        low, high = self.elevation
        return f"{self.kind}, {self.azimuth:.0f} degrees around, {low:.0f} to {high:.0f} high"


def capture_kind(poses: Poses) -> CaptureKind:
    """The word for a capture, as paths, training and `prepare.py` use it.

    - surround: cameras all around a subject, at about its height.
    - dome: all around it and from above, or at several heights.
    - arc: before a subject, 45 degrees wide or more, open to one side.
    - forward-facing: cameras that look the same way, moved little for what they see.
    - trajectory: cameras that look along their way or outwards: a street, a corridor, a room.
    """
    return describe_capture(poses).kind


def describe_capture(poses: Poses) -> Capture:
    """The kind of a capture with the figures that it follows from.

    Args:
        poses: camera-to-world (n, 3, 4), OpenGL's axes, in any unit; one camera or more.
    """
    up = turning_axis(poses)
    subject, inward = _subject(poses)
    offset = poses[:, :, 3] - subject
    distance = np.linalg.norm(offset, axis=1)
    height = np.degrees(np.arcsin(np.clip(offset @ up / np.maximum(distance, 1e-12), -1, 1)))
    low, middle, high = np.percentile(height, [5, 50, 95])
    azimuth, gap = azimuth_cover(offset, up)
    spread = _spread(-poses[:, :, 2])
    kind: CaptureKind
    if _along_the_way(poses):
        kind = "trajectory"
    elif spread < _SAME_WAY:
        kind = "dome" if _turns_overhead(poses) else "forward-facing"
    elif inward < 0.8:
        kind = "trajectory"
    elif gap > _OPEN_SIDE and not _turns_overhead(poses):
        kind = "arc"
    else:
        several = high - low >= _DOME_HEIGHTS and height.mean() > 20
        kind = "dome" if middle >= _DOME_ELEVATION or several else "surround"
    return Capture(kind, subject, up, azimuth, (float(low), float(high)), inward)


def turning_axis(poses: Poses) -> Float[np.ndarray, "3"]:
    """Up, as the axis around which the cameras turn.

    A phone is turned around the vertical more than it is tilted, and held without roll, upright or
    on its side: then all of one of its image axes are horizontal, and up is at right angles to
    them. The sign is that of the photos' own up; of photos on their side, which have none, it is
    that from which they look down.
    """
    upright, turns = _horizontal_plane(poses[:, :, 0])
    lying, lying_turns = _horizontal_plane(poses[:, :, 1])
    mean_up = normalize(poses[:, :, 1].mean(0) + 1e-12)
    if lying_turns[1] > 0.03 and lying_turns[0] < 0.25 * upright_ratio(turns) * lying_turns[1]:
        look = -poses[:, :, 2].mean(0)
        side = poses[:, :, 0].mean(0)
        down = float(look @ lying)
        sign = -down if abs(down) > 0.05 else float(side @ lying)
        return lying * (1.0 if sign >= 0 else -1.0)
    # Two directions must be well covered for the third to be known.
    if turns[1] < 0.05 or turns[0] > 0.5 * turns[1]:
        return mean_up
    return upright * (1.0 if upright @ mean_up >= 0 else -1.0)


def upright_ratio(turns: tuple[float, float]) -> float:
    """How little the image's right axes lie in one plane: 0 exactly in it, 1 not at all."""
    return turns[0] / max(turns[1], 1e-9)


def azimuth_cover(
    offset: Float[np.ndarray, "camera 3"], up: Float[np.ndarray, "3"]
) -> tuple[float, float]:
    """Degrees around `up` that directions cover, and the widest gap between two neighbours."""
    first, second = horizontal_axes(up)
    flat = np.hypot(offset @ first, offset @ second)
    # Those straight above are at no azimuth.
    kept = flat > 0.05 * np.linalg.norm(offset, axis=1)
    if kept.sum() < 2:
        return 0.0, 360.0
    angle = np.sort(np.degrees(np.arctan2(offset[kept] @ second, offset[kept] @ first)))
    gap = float(np.diff(angle, append=angle[0] + 360).max())
    return (360.0 if gap <= _OPEN_SIDE else 360.0 - gap), gap


def horizontal_axes(
    up: Float[np.ndarray, "3"],
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Two unit vectors at right angles to `up`, a right-handed frame with it."""
    first = normalize(np.cross(np.eye(3)[int(np.abs(up).argmin())], up))
    return first, np.cross(up, first)


def _subject(poses: Poses) -> tuple[Float[np.ndarray, "3"], float]:
    """Where the optical axes meet, and the share of the cameras that look at it.

    Cameras that look elsewhere pull a least-squares point to themselves; a second pass is made
    without the quarter that misses it most.
    """
    point = focus_point(poses)
    for _ in range(2):
        angle = _aim(poses, point)
        point = focus_point(poses[angle <= np.percentile(angle, 75) + 1e-9])
    return point, float((_aim(poses, point) < _AIM).mean())


def _aim(poses: Poses, point: Float[np.ndarray, "3"]) -> Float[np.ndarray, "camera"]:
    """Degrees between each optical axis and the direction to `point`."""
    to_point = point - poses[:, :, 3]
    distance = np.maximum(np.linalg.norm(to_point, axis=1), 1e-12)
    cosine = -(to_point * poses[:, :, 2]).sum(1) / distance
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _spread(direction: Float[np.ndarray, "camera 3"]) -> float:
    """Degrees between the outermost of unit vectors (98th percentile of all pairs)."""
    pairs = direction @ direction.T
    return float(np.degrees(np.arccos(np.clip(np.percentile(pairs, 2), -1, 1))))


def _turns_overhead(poses: Poses) -> bool:
    """Whether cameras that look down one way turn about it: a circle seen from above."""
    look = normalize(-poses[:, :, 2].mean(0) + 1e-12)
    around, gap = azimuth_cover(poses[:, :, 0], look)
    return around > 0 and gap < 100 and float((-poses[:, :, 2] @ look).min()) > 0


def _along_the_way(poses: Poses) -> bool:
    """Whether the cameras are strung out along the direction that they look in."""
    mean = -poses[:, :, 2].mean(0)
    if np.linalg.norm(mean) < 0.6:
        return False
    offset = poses[:, :, 3] - poses[:, :, 3].mean(0)
    along = offset @ normalize(mean)
    across = offset - along[:, None] * normalize(mean)
    widest = np.linalg.svd(across, compute_uv=False)[0] / np.sqrt(len(poses))
    return bool(along.std() > 1.5 * widest)


def _horizontal_plane(
    axes: Float[np.ndarray, "camera 3"],
) -> tuple[Float[np.ndarray, "3"], tuple[float, float]]:
    """The direction that unit vectors are most at right angles to, and their two least spreads."""
    values, vectors = np.linalg.eigh(axes.T @ axes / len(axes))
    return vectors[:, 0], (float(values[0]), float(values[1]))
