"""The cameras' own axes in a file: OpenGL's, or OpenCV's where --axes says so."""

from __future__ import annotations

import numpy as np

from geometry.poses import Poses, focus_point, looks_at

# Mean squared sine between the optical axes and a common direction, under which they are parallel:
# where they meet is then no place (half a degree).
_PARALLEL = 1e-4


def with_opengl_axes(poses: Poses, axes: str | None) -> Poses:
    """The poses, whose cameras have the axes of this name, with OpenGL's."""
    return poses * np.array([1.0, -1.0, -1.0, 1.0]) if axes == "opencv" else poses


def are_parallel(poses: Poses) -> bool:
    """Whether all cameras look the same way to within half a degree."""
    axis = poses[:, :, 2]
    values = np.linalg.eigvalsh(axis.T @ axis / len(axis))
    return bool(values[0] + values[1] < _PARALLEL)


def tell_axes(poses: Poses, name: str) -> None:
    """Say so where no camera looks at the point where their axes meet: axes of another kind."""
    if len(poses) > 2 and not are_parallel(poses) and looks_at(poses, focus_point(poses)) == 0:
        print(
            f"{name}: no camera looks at where their axes meet; unless the photos look outwards, "
            "the poses have OpenCV's axes: load them with --axes opencv"
        )
