"""A picture of a path: cameras, points and path, from above and from the side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from geometry.capture_kind import horizontal_axes
from geometry.poses import Poses
from paths.path import CameraPath, Frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours (2008), which colour-blind readers tell apart.
_PATH, _LOW, _PHOTO, _POINT = "#0072B2", "#D55E00", "#000000", "#999999"
_MOST_POINTS = 5000


def draw_path(
    path: CameraPath,
    photos: Poses,
    up: Float[np.ndarray, "3"],
    points: Float[np.ndarray, "point 3"] | None = None,
) -> Figure:
    """Draw it, without a display; save the figure with `figure.savefig(file)`.

    Args:
        photos: camera-to-world of the training photos, in scene units.
        up: of the scene.
        points: on surfaces, in scene units.
    """
    # Here, since only who draws needs matplotlib. Not pyplot, which wants a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.5), dpi=110, layout="constrained", facecolor="white")
    up = up / np.linalg.norm(up)
    right, ahead = _view(photos, up)
    frames = path.cameras.c2w.double().numpy()
    reach = _reach(frames, photos, path.subject)
    if points is not None and len(points):
        near = points[np.abs(points - path.subject).max(1) < 1.5 * reach]
        points = near[:: max(1, len(near) // _MOST_POINTS)]
    sides = {"from above": (right, ahead), "from the side": (right, up)}
    for axes, (title, plane) in zip(figure.subplots(1, 2), sides.items(), strict=True):
        _draw_side(axes, np.stack(plane, axis=1), path, frames, photos, points, reach)
        axes.set_title(title)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    figure.suptitle(_caption(path), fontsize=10)
    return figure


def _view(photos: Poses, up: Float[np.ndarray, "3"]) -> tuple[np.ndarray, np.ndarray]:
    """To the right and ahead, as most cameras look; any way where they look all around."""
    look = -photos[:, :, 2].mean(0)
    flat = look - (look @ up) * up
    if np.linalg.norm(flat) < 0.1:
        right, ahead = horizontal_axes(up)
        return right, ahead
    ahead = flat / np.linalg.norm(flat)
    return np.cross(ahead, up), ahead


def _reach(frames: Frames, photos: Poses, subject: Float[np.ndarray, "3"]) -> float:
    places = np.concatenate([frames[:, :, 3], photos[:, :, 3]])
    spread = float(np.ptp(places, axis=0).max())
    far = float(np.percentile(np.linalg.norm(places - subject, axis=1), 90))
    return max(min(1.1 * far, 3 * spread), 0.6 * spread, 1e-9)


def _draw_side(
    axes: Axes,
    plane: Float[np.ndarray, "3 2"],
    path: CameraPath,
    frames: Frames,
    photos: Poses,
    points: Float[np.ndarray, "point 3"] | None,
    reach: float,
) -> None:
    at = photos[:, :, 3] @ plane
    loop = np.concatenate([frames, frames[:1]])[:, :, 3] @ plane
    if points is not None and len(points):  # those far behind would make the path a dot
        places = np.concatenate([at, loop, (path.subject @ plane)[None]])
        low, high = places.min(0) - 0.4 * reach, places.max(0) + 0.4 * reach
        shown = points @ plane
        shown = shown[((shown > low) & (shown < high)).all(1)]
        axes.scatter(*_xy(shown), s=1, color=_POINT, linewidths=0, zorder=0)
    look = -photos[:, :, 2] @ plane * 0.12 * reach
    axes.quiver(
        *at.T, *look.T, angles="xy", scale_units="xy", scale=1, color=_PHOTO, alpha=0.45,
        width=0.002, headwidth=4,
    )  # fmt: skip
    axes.scatter(*_xy(at), s=9, color=_PHOTO, alpha=0.6, linewidths=0, label="photos")
    axes.plot(*loop.T, color=_PATH, linewidth=1.5, label=f"path ({path.kind})")
    some = frames[:: max(1, len(frames) // 12)]
    axes.quiver(
        *(some[:, :, 3] @ plane).T, *(-some[:, :, 2] @ plane * 0.18 * reach).T,
        angles="xy", scale_units="xy", scale=1, color=_PATH, width=0.003,
    )  # fmt: skip
    axes.scatter(*_xy(loop[:1]), s=40, color=_PATH, zorder=4, label="first frame")
    if path.support is not None and (path.support < 0.95).any():
        unseen = frames[path.support < 0.95, :, 3] @ plane
        axes.scatter(
            *_xy(unseen), s=14, color=_LOW, zorder=3, label="under 95 % seen in two photos"
        )
    axes.scatter(*_xy(path.subject[None] @ plane), marker="+", s=60, color=_LOW, label="subject")
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(alpha=0.3)


def _xy(places: Float[np.ndarray, "place 2"]) -> tuple[np.ndarray, np.ndarray]:
    return places[:, 0], places[:, 1]


def _caption(path: CameraPath) -> str:
    text = f"{path.kind}: {len(path.cameras)} frames, at most {path.angle.max():.0f}° from a photo"
    if path.support is not None:
        text += f", {100 * path.support.min():.0f} % or more seen in two photos"
    return text
