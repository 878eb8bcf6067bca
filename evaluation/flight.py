"""The flight: plan a path through a trained scene, and what is written beside its frames."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.scene import Scene
from geometry.cameras import Cameras
from models.rendering.image import ImageRenderer
from paths.draw import draw_path
from paths.file import path_json
from paths.path import CameraPath, PathConfig
from paths.plan import path_scene, plan_path
from writing.depth import depth_range
from writing.files import replacing, write_bytes

from .views import render_depth

PATH_FILE, PATH_PICTURE = "path.json", "path.png"
# Frames, and the longer side of their images in pixels, that tell the film's range of depths.
_RANGE_FRAMES, _RANGE_SIDE = 12, 64
# Rays that planning renders, about; and the seconds that they may take.
_PLANNING_RAYS, _PLANNING_SECONDS = 800_000, 200.0


def rays_per_second(render: ImageRenderer, scene: Scene, device: str) -> float:
    """How fast the field renders, from a small image of a training camera."""
    train = scene.splits["train"]
    camera = scene.cameras[train[len(train) // 2]].resized(_RANGE_SIDE, _RANGE_SIDE).to(device)
    render_depth(render, scene, camera)  # the first is slower
    start = time.perf_counter()
    render_depth(render, scene, camera)
    return _RANGE_SIDE**2 / max(1e-6, time.perf_counter() - start)


def plan_flight(
    render: ImageRenderer, scene: Scene, config: PathConfig, device: str, speed: float
) -> CameraPath:
    """The path that the photos support, in what the trained field leaves free.

    A field that renders too slowly to look around in is not asked: the cameras alone tell then.

    Args:
        render: of the field, on the device.
        scene: with the training cameras.
        speed: rays per second.
    """
    if _PLANNING_RAYS / speed > _PLANNING_SECONDS:
        path = plan_path(scene, config)
        note = "planned by the cameras alone: this model renders too slowly to look at what is free"
        return replace(path, notes=(*path.notes, note))
    return plan_path(scene, config, lambda cameras: render_depth(render, scene, cameras.to(device)))


def film_scene(scene: Scene, path: CameraPath, size: tuple[int, int] | None) -> Scene:
    """The scene with the path's cameras alone, as its split "path", of `size` where it is given."""
    film = path_scene(scene, path)
    return film if size is None else replace(film, cameras=film.cameras.resized(*size))


def write_path(folder: Path, scene: Scene, path: CameraPath, fps: float) -> None:
    """Write path.json (in the input's coordinates) and path.png, with the sparse points where the
    scene's files are at hand and have some."""
    write_bytes(folder / PATH_FILE, path_json(path.cameras, scene.to_input, fps).encode())
    photos = scene.cameras[scene.splits["train"]].c2w.double().numpy()
    observations = scene.observations()
    points = None if observations is None else observations.point.double().numpy()
    figure = draw_path(path, photos, np.array(scene.up), points)
    with replacing(folder / PATH_PICTURE) as temporary:
        figure.savefig(temporary)


def film_depth_range(
    render: ImageRenderer, scene: Scene, cameras: Cameras, device: str
) -> tuple[float, float]:
    """One scale of depth for all frames of a film, from small images of some."""
    count = len(cameras)
    some = cameras[[i * count // _RANGE_FRAMES for i in range(min(_RANGE_FRAMES, count))]]
    maps = []
    for index in range(len(some)):
        width, height = some.size[index].tolist()
        factor = min(1.0, _RANGE_SIDE / max(width, height))
        small = some[[index]].resized(max(2, int(width * factor)), max(2, int(height * factor)))
        maps += render_depth(render, scene, small.to(device))
    return depth_range(maps)
