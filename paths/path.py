"""What a camera path is, and the settings that choose one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from geometry.cameras import Cameras

# Camera-to-world of the frames of a path, as geometry.poses.Poses, which are those of the photos.
Frames = Float[np.ndarray, "frame 3 4"]

KINDS = ("orbit", "arc", "dome", "spiral", "trajectory", "interp")

# The field's depth as cameras see it: of each, distances (height, width) along its pixels' rays,
# in scene units; 0 where there is nothing.
DepthOf = Callable[[Cameras], Sequence[np.ndarray]]


@dataclass(frozen=True)
class PathConfig:
    """How a path is chosen.

    Attributes:
        kind: one of KINDS, or a JSON file of cameras; None is what suits the capture.
        n_frames: frames of the loop: seconds times frames a second.
        height: degrees, as seen from the subject, that the path is raised; None or 0 keeps it at
            the photos' height.
        radius: factor on the photos' distance, or on the width of a spiral.
        roll: degrees clockwise that the photos are to be turned to stand upright; 0 is what the
            cameras tell.
    """

    kind: str | None = None
    n_frames: int = 120
    height: float | None = None
    radius: float | None = None
    roll: float = 0.0


@dataclass(frozen=True)
class CameraPath:
    """A path, with what is known about it.

    Attributes:
        cameras: of its frames, in scene units. The frame after the last one is the first.
        kind: one of KINDS, or "file".
        subject: what it is about, in scene units.
        angle: degrees between each frame and its nearest training camera, seen from the subject.
        distance: of each frame to the subject over the mean of the nearest and the farthest that
            the photos have there.
        support: of each frame, the share of pixels whose surface two training photos or more saw;
            None where no depth was handed in.
        notes: what a user should know, a sentence each.
    """

    cameras: Cameras
    kind: str
    subject: Float[np.ndarray, "3"]
    angle: Float[np.ndarray, "frame"]
    distance: Float[np.ndarray, "frame"]
    support: Float[np.ndarray, "frame"] | None
    notes: tuple[str, ...]

    def summary(self) -> list[str]:
        """Lines that tell a user what kind of path it is, how well photos support it, and what
        they should know."""
        text = f"path: {self.kind}, {len(self.cameras)} frames"
        if self.kind != "file":
            text += f", at most {self.angle.max():.0f} degrees from a photo"
        if self.support is not None:
            text += (
                f"; two photos or more saw {100 * self.support.mean():.0f} % of what it shows "
                f"({100 * self.support.min():.0f} % in the worst frame)"
            )
        return [text, *self.notes]
