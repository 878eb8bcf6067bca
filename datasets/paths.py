"""Camera paths to fly along: spiral, orbit, through the photos' cameras, or from a file.

Poses are camera-to-world (n, 3, 4) in scene coordinates; paths of the first three kinds close.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from jaxtyping import Float

from errors import UserError

from .poses import Poses, apply, average_pose, check_poses, focus_point, normalize
from .scene import Scene, make_cameras

Path3D = Float[np.ndarray, "frame 3 4"]
PATHS = ("spiral", "orbit", "interp")


def render_path(scene: Scene, kind: str | None, n_frames: int) -> Scene:
    """The scene with a split "path" of cameras that have the size and lens of its first one.

    Args:
        kind: "spiral", "orbit", "interp", or a JSON file; None is what suits the scene.
    """
    train = scene.splits["train"]
    poses = scene.cameras[train].c2w.double().numpy()
    if kind is None:
        kind = "spiral" if scene.forward_facing else "orbit"
    if kind == "spiral":
        path = spiral(poses, scene, n_frames)
    elif kind == "orbit":
        path = orbit(poses, np.array(scene.up), n_frames)
    elif kind == "interp":
        path = interpolate(poses, n_frames)
    else:
        path = read_path(Path(kind), scene)
    first = scene.cameras[[train[0]]]
    cameras = make_cameras(
        path,
        [tuple(first.intrinsics[0].tolist())] * len(path),
        [tuple(first.size[0].tolist())] * len(path),
    )
    return Scene(
        name=scene.name,
        cameras=cameras,
        frames=(None,) * len(path),
        splits={"path": list(range(len(path)))},
        bounds=scene.bounds,
        background=scene.background,
        cutout=scene.cutout,
        region=scene.region,
        to_input=scene.to_input,
        up=scene.up,
    )


def look_at(
    position: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3 4"]:
    """The pose at `position` that looks at `target` with `up` upwards in the image."""
    z = normalize(position - target)
    x = normalize(np.cross(up, z))
    return np.stack([x, np.cross(z, x), z, position], axis=1)


def spiral(poses: Poses, scene: Scene, n_frames: int, turns: int = 2) -> Path3D:
    """A spiral in the middle of forward-facing cameras, looking at a point before them.

    As the original implementation's: radii that most cameras keep within, two turns around,
    and half a turn back and forth.
    """
    middle = average_pose(poses)
    local = apply(np.linalg.inv(middle), poses)
    radii = np.percentile(np.abs(local[:, :, 3]), 90, axis=0)
    # Forward-facing scenes are scaled so that their nearest surfaces lie a little beyond 1.
    focus = (
        3.5 if scene.forward_facing else abs(-(np.linalg.inv(middle) @ [*focus_point(poses), 1])[2])
    )
    up = np.array([0.0, 1.0, 0.0])
    frames = []
    for angle in np.linspace(0, 2 * math.pi * turns, n_frames, endpoint=False):
        offset = np.array([math.cos(angle), -math.sin(angle), -math.sin(angle / turns)])
        frames.append(look_at(offset * radii, np.array([0.0, 0.0, -focus]), up))
    return apply(middle, np.stack(frames))


def orbit(poses: Poses, up: Float[np.ndarray, "3"], n_frames: int) -> Path3D:
    """A level circle around what the cameras look at, at their usual distance and height."""
    centre = focus_point(poses)
    offset = poses[:, :, 3] - centre
    height = float(np.median(offset @ up))
    flat = offset - (offset @ up)[:, None] * up
    radius = float(np.median(np.linalg.norm(flat, axis=1)))
    # Cameras straight above would make the circle a point.
    radius = max(radius, 0.2 * float(np.median(np.linalg.norm(offset, axis=1))))
    start = (
        normalize(flat[0])
        if np.linalg.norm(flat[0]) > 1e-6
        else normalize(np.cross(up, poses[0, :, 0]))
    )
    side = np.cross(up, start)
    frames = []
    for angle in np.linspace(0, 2 * math.pi, n_frames, endpoint=False):
        direction = math.cos(angle) * start + math.sin(angle) * side
        frames.append(look_at(centre + radius * direction + height * up, centre, up))
    return np.stack(frames)


def interpolate(poses: Poses, n_frames: int) -> Path3D:
    """A smooth closed flight through some of the cameras, going from each to the nearest left."""
    stops = poses[_tour(poses[:, :, 3])]
    if len(stops) > 12:
        stops = stops[np.linspace(0, len(stops), 12, endpoint=False).astype(int)]
    at = np.linspace(0, len(stops), n_frames, endpoint=False)
    # Catmull-Rom through the columns, which are made a rotation again.
    mixed = _catmull_rom(stops, at)
    u, _, vt = np.linalg.svd(mixed[:, :, :3])
    return np.concatenate([u @ vt, mixed[:, :, 3:]], axis=2)


def _tour(points: Float[np.ndarray, "point 3"]) -> list[int]:
    left = list(range(1, len(points)))
    order = [0]
    while left:
        nearest = min(left, key=lambda i: float(np.linalg.norm(points[i] - points[order[-1]])))
        left.remove(nearest)
        order.append(nearest)
    return order


def _catmull_rom(values: np.ndarray, at: Float[np.ndarray, "frame"]) -> np.ndarray:
    """Cubic curve through values[0], values[1], ..., values[0] again (Catmull and Rom, 1974)."""
    index = at.astype(int)
    before, start, end, after = (values[(index + k) % len(values)] for k in (-1, 0, 1, 2))
    s = (at - index)[:, None, None]
    return start + 0.5 * s * (
        end
        - before
        + s * (2 * before - 5 * start + 4 * end - after + s * (3 * (start - end) + after - before))
    )


def read_path(path: Path, scene: Scene) -> Poses:
    """Cameras of a JSON file, in the coordinates of the scene's own files.

    Either {"frames": [{"transform_matrix": 4x4}, ...]} (transforms.json) or nerfstudio's
    {"camera_path": [{"camera_to_world": 16 numbers}, ...]}.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"--path {path}: no such file, and not one of {', '.join(PATHS)}"
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a JSON file of cameras ({error})") from error
    try:
        if "camera_path" in content:
            matrices = [frame["camera_to_world"] for frame in content["camera_path"]]
        else:
            matrices = [frame["transform_matrix"] for frame in content["frames"]]
        if not matrices:
            raise UserError(f"{path}: holds no camera")
        poses = np.array(matrices, dtype=np.float64).reshape(len(matrices), -1, 4)[:, :3]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{path}: needs "frames" with "transform_matrix", or "camera_path" with '
            f'"camera_to_world" ({error!r})'
        ) from error
    if poses.shape[1:] != (3, 4):
        raise UserError(f"{path}: its camera matrices are not 4x4")
    poses = check_poses(poses, [f"frame {i}" for i in range(len(poses))], path.name)
    return poses if scene.to_input is None else apply(np.linalg.inv(scene.to_input), poses)
