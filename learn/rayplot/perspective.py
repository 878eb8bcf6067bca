"""A viewpoint onto a 3D scene: points and lines to places on paper, in true perspective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "*batch 3"]


@dataclass(frozen=True)
class Viewpoint:
    """Where a drawing is seen from.

    Attributes:
        eye: the position.
        axes: rows are right, up and forward, of unit length.
        nearest: what is closer than this is cut off.
    """

    eye: Float[np.ndarray, "3"]
    axes: Float[np.ndarray, "3 3"]
    nearest: float

    @staticmethod
    def looking_at(eye: Points, target: Points, up: Points) -> Viewpoint:
        """The viewpoint at `eye` with `target` in the middle and `up` upwards."""
        distance = float(np.linalg.norm(target - eye))
        forward = (target - eye) / distance
        right = np.cross(forward, up)
        if np.linalg.norm(right) < 1e-6:  # seen straight from above, any side will do
            right = np.cross(forward, np.roll(forward, 1))
        right = right / np.linalg.norm(right)
        return Viewpoint(eye, np.stack([right, np.cross(right, forward), forward]), 0.02 * distance)

    def project(self, points: Points) -> Float[np.ndarray, "*batch 2"]:
        """Places on paper, x to the right and y up; NaN for what is behind the viewpoint."""
        x, y, depth = np.moveaxis((points - self.eye) @ self.axes.T, -1, 0)
        depth = np.where(depth < self.nearest * 0.999, np.nan, depth)
        return np.stack([x / depth, y / depth], axis=-1)

    def depth(self, points: Points) -> Float[np.ndarray, "*batch"]:
        return (points - self.eye) @ self.axes[2]

    def lines(
        self, start: Float[np.ndarray, "line 3"], end: Float[np.ndarray, "line 3"]
    ) -> Float[np.ndarray, "visible 2 2"]:
        """Both ends of each line on paper, cut where it passes behind; lines wholly behind go."""
        a, b = self.depth(start), self.depth(end)
        visible = (a >= self.nearest) | (b >= self.nearest)
        start, end, a, b = start[visible], end[visible], a[visible], b[visible]
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = ((self.nearest - a) / (b - a))[:, None]
        crossing = start + np.nan_to_num(cut) * (end - start)
        start = np.where((a < self.nearest)[:, None], crossing, start)
        end = np.where((b < self.nearest)[:, None], crossing, end)
        return self.project(np.stack([start, end], axis=1))
