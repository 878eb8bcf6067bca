"""The figures: all cameras with rays, the rays of one camera, of a corner of one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.gridspec import GridSpec

from datasets.scene import Scene
from geometry.cameras import Cameras
from learn.figures.style import COLOURS, new_figure, save_figure, style
from learn.rayplot.perspective import Viewpoint
from learn.rayplot.sample import DrawnRays, frustum

Image = UInt8[np.ndarray, "height width 3"]
Colours = Float[np.ndarray, "ray 4"]


def ray_colours(count: int) -> Colours:
    """A colour for each ray, as far from the others' as there is room for."""
    return colormaps["hsv" if count > 10 else "tab10"](
        np.arange(count) if count <= 10 else np.linspace(0, 0.92, count)
    )


def draw_all(
    path: Path,
    cameras: Cameras,
    photos: Sequence[Image],
    rays: DrawnRays,
    up: np.ndarray,
    title: str,
    shown: int = 9,
) -> Path:
    """All cameras as frusta, rays through them, and the photos of some with the rays' pixels."""
    colours = ray_colours(len(rays))
    centres = cameras.c2w[:, :, 3].numpy()
    middle = 0.5 * (rays.points.reshape(-1, 3).mean(0) + centres.mean(0))
    spread = float(np.linalg.norm(centres - middle, axis=1).max())
    spread = max(spread, 0.5 * float(np.linalg.norm(rays.points - middle, axis=-1).max()))
    side = _sideways(cameras, up)
    viewpoint = Viewpoint.looking_at(middle + 2.6 * spread * (side + 0.45 * up), middle, up)
    used = np.unique(rays.image)
    used = used[np.linspace(0, len(used) - 1, min(shown, len(used))).round().astype(int)]
    with rc_context(style()):
        columns = 3 if len(used) > 2 else 1
        rows = -(-len(used) // columns)
        figure = new_figure(11.5, 6.2)
        grid = GridSpec(rows, columns + 5, figure=figure)
        axis = figure.add_subplot(grid[:, :5])
        depth = 0.09 * spread
        _draw_frusta(axis, viewpoint, cameras, photos, depth)
        _draw_rays(axis, viewpoint, rays, colours, size=5)
        _draw_axes(axis, viewpoint, np.zeros(3), 0.25 * spread)
        _finish(axis)
        for i, view in enumerate(used):
            panel = figure.add_subplot(grid[i // columns, 5 + i % columns])
            _draw_photo(panel, photos[view], rays, int(view), colours, f"view {view}")
        figure.suptitle(title, fontsize=11)
        return save_figure(figure, path)


def draw_cameras(path: Path, scene: Scene) -> Path:
    """The cameras of a scene alone: training views blue, held-out views orange."""
    cameras, up = scene.cameras, np.array(scene.up)
    held_out = set(scene.splits.get("val", [])) | set(scene.splits.get("test", []))
    train = scene.splits["train"]
    views = [*train, *sorted(held_out - set(train))]
    colours = [COLOURS[0] if i in set(train) else COLOURS[1] for i in views]
    cameras = cameras[views]
    centres = cameras.c2w[:, :, 3].numpy()
    middle = centres.mean(0)
    spread = max(float(np.linalg.norm(centres - middle, axis=1).max()), 1e-3)
    eye = middle + 3 * spread * (_sideways(cameras, up) + 0.5 * up)
    viewpoint = Viewpoint.looking_at(eye, middle, up)
    with rc_context(style()):
        figure = new_figure(6.5, 4.5)
        axis = figure.subplots()
        rims = frustum(cameras, 0.18 * spread)[:, [0, 0, 1, 1], [0, 1, 1, 0]]
        for centre, rim, colour in zip(centres, rims, colours, strict=True):
            start = np.concatenate([np.repeat(centre[None], 4, axis=0), rim])
            end = np.concatenate([rim, np.roll(rim, -1, axis=0)])
            lines = list(viewpoint.lines(start, end))
            axis.add_collection(LineCollection(lines, colors=colour, linewidths=0.8))
        _draw_axes(axis, viewpoint, np.zeros(3), 0.4 * spread)
        _finish(axis)
        return save_figure(figure, path)


def draw_one(
    path: Path,
    camera: Cameras,
    view: int,
    photo: Image,
    rays: DrawnRays,
    title: str,
    from_behind: bool = False,
) -> Path:
    """The rays of one camera, beside its photo.

    Args:
        camera: the camera alone.
        view: its place, as in rays.image.
        from_behind: as seen from the camera itself, a step back; else from the side.
    """
    colours = ray_colours(len(rays))
    pose = camera.c2w[0].numpy()
    right, upward, back, centre = pose.T
    far = float(np.linalg.norm(rays.points - centre, axis=-1).max())
    # The image plane is drawn large enough that single pixels can be told apart.
    depth = 0.3 * far
    if from_behind:
        # A little aside of the optical axis, so that no ray is seen end on.
        eye = centre + 0.42 * far * back + 0.07 * far * right + 0.09 * far * upward
        viewpoint = Viewpoint.looking_at(eye, centre - depth * back, upward)
    else:
        target = centre - 0.45 * far * back
        eye = target + far * (1.15 * back + 0.75 * right + 0.5 * upward)
        viewpoint = Viewpoint.looking_at(eye, target, upward)
    with rc_context(style()):
        figure = new_figure(11.5, 5.4)
        axis, panel = figure.subplots(1, 2, width_ratios=(1.7, 1))
        _draw_frusta(axis, viewpoint, camera, [photo], depth, steps=96)
        crossing = rays.origins + rays.directions * (
            depth / -(rays.directions @ back)[:, None]  # where the ray pierces the image plane
        )
        _draw_rays(axis, viewpoint, rays, colours, size=9)
        place = viewpoint.project(crossing)
        axis.scatter(
            place[:, 0], place[:, 1], s=26, c=colours, edgecolors="white", linewidths=0.8, zorder=6
        )
        _finish(axis)
        _draw_photo(panel, photo, rays, view, colours, f"view {view}: pixels and where rays land")
        figure.suptitle(title, fontsize=11)
        return save_figure(figure, path)


def _sideways(cameras: Cameras, up: np.ndarray) -> np.ndarray:
    """A horizontal direction from which the cameras are seen well: behind them, to the right."""
    back = cameras.c2w[:, :, 2].numpy().mean(0)
    back = back - (back @ up) * up
    if np.linalg.norm(back) < 0.3:  # cameras all around
        back = np.cross(up, [1.0, 0.3, 0.2])
    back = back / np.linalg.norm(back)
    side = back + 0.9 * np.cross(up, back)
    return side / np.linalg.norm(side)


def _draw_frusta(
    axis: Axes,
    viewpoint: Viewpoint,
    cameras: Cameras,
    photos: Sequence[Image],
    depth: float,
    steps: int = 10,
) -> None:
    """Each camera as a pyramid, its photo on the base; the farthest first."""
    corners = frustum(cameras, depth)
    bases = frustum(cameras, depth, steps)
    order = np.argsort(-viewpoint.depth(cameras.c2w[:, :, 3].numpy()))
    for i in order:
        thumbnail = cv2.resize(photos[i], (steps, steps), interpolation=cv2.INTER_AREA)
        base = viewpoint.project(bases[i])
        quads = np.stack([base[:-1, :-1], base[:-1, 1:], base[1:, 1:], base[1:, :-1]], axis=2)
        axis.add_collection(
            PolyCollection(
                list(quads.reshape(-1, 4, 2)),
                facecolors=thumbnail.reshape(-1, 3) / 255,
                edgecolors="none",
                antialiaseds=False,  # no hairlines between neighbours
                zorder=2,
            )
        )
        rim = corners[i][[0, 0, 1, 1], [0, 1, 1, 0]]
        start = np.concatenate([np.repeat(cameras.c2w[i, :, 3].numpy()[None], 4, axis=0), rim])
        end = np.concatenate([rim, np.roll(rim, -1, axis=0)])
        axis.add_collection(
            LineCollection(
                list(viewpoint.lines(start, end)), colors="0.25", linewidths=0.6, zorder=2
            )
        )


def _draw_rays(
    axis: Axes, viewpoint: Viewpoint, rays: DrawnRays, colours: Colours, size: float
) -> None:
    lines = viewpoint.lines(rays.origins, rays.points[:, -1])
    if len(lines) == len(rays):
        axis.add_collection(LineCollection(list(lines), colors=colours, linewidths=0.8, zorder=3))
    dots = viewpoint.project(rays.points)
    axis.scatter(
        dots[..., 0].reshape(-1),
        dots[..., 1].reshape(-1),
        s=size,
        c=np.repeat(colours, dots.shape[1], axis=0),
        linewidths=0,
        zorder=4,
    )


def _draw_axes(axis: Axes, viewpoint: Viewpoint, origin: np.ndarray, length: float) -> None:
    """The world's axes: x red, y green, z blue."""
    for direction, colour, name in zip(
        np.eye(3), ("#cc2222", "#22882b", "#2244cc"), "xyz", strict=True
    ):
        tip = origin + length * direction
        line = viewpoint.lines(origin[None], tip[None])
        if len(line):
            axis.add_collection(LineCollection(list(line), colors=colour, linewidths=2.2, zorder=5))
            axis.annotate(
                name,
                tuple(viewpoint.project(tip)),
                color=colour,
                fontsize=9,
                zorder=5,
                weight="bold",
            )


def _draw_photo(
    axis: Axes, photo: Image, rays: DrawnRays, view: int, colours: Colours, title: str
) -> None:
    """The photo; a ring at each pixel that a ray was asked for, a dot where the ray lands."""
    axis.imshow(photo, extent=(0, photo.shape[1], photo.shape[0], 0), interpolation="antialiased")
    mine = rays.image == view
    (asked_u, asked_v), (landed_u, landed_v) = (rays.pixel[mine] + 0.5).T, rays.landing[mine].T
    axis.scatter(asked_u, asked_v, s=52, facecolors="none", edgecolors="white", linewidths=2.6)
    axis.scatter(
        asked_u, asked_v, s=52, facecolors="none", edgecolors=colours[mine], linewidths=1.5
    )
    axis.scatter(landed_u, landed_v, s=7, c=colours[mine], linewidths=0)
    axis.set_title(title, fontsize=9, pad=3)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
    axis.spines[:].set(visible=True, color="0.6")
    axis.set_xlabel("u", fontsize=8, labelpad=1)
    axis.set_ylabel("v", fontsize=8, labelpad=3, rotation=0)


def _finish(axis: Axes) -> None:
    axis.set_aspect("equal")
    axis.axis("off")
    axis.autoscale_view()
