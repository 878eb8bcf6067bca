"""Plan the flight: the path that suits the capture, near its photos, and in free space."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from datasets.scene import Scene
from geometry.cameras import Cameras, make_cameras
from geometry.capture_kind import Capture, describe_capture
from geometry.poses import Poses
from paths.file import Lens, read_path
from paths.free_space import FreeSpace
from paths.kinds.around import Around, arc, covered, dome, orbit
from paths.kinds.spiral import spiral
from paths.kinds.trajectory import interpolate, trajectory
from paths.level import Upright, stand_upright, turn
from paths.nearness import Points, angles, distance_range, from_looked_at
from paths.notes import LEAST_SUPPORT, Figures, notes_of
from paths.path import KINDS, CameraPath, DepthOf, Frames, PathConfig
from paths.support import PhotoDepth

# What is given up of a path's width, step by step, until photos support it.
_SHRINK = (0.0, 0.12, 0.25, 0.4, 0.55)
# Frames of a path that are looked at to choose it.
_LOOKED_AT = 30
# What the frames between those may have less.
_BETWEEN = 0.01
# The share of a frame that may be unseen for all of a path's width.
_WIDTH = 0.1
# Distance at which frames look, in NDC scenes, whose nearest surfaces lie a little beyond 1 (LLFF).
_NDC_FOCUS = 3.5
_WITHOUT_SUBJECT = ("forward-facing", "trajectory")
_WITHOUT_WIDTH = ("orbit", "interp")
_KIND_OF = {
    "surround": "orbit",
    "dome": "dome",
    "arc": "arc",
    "forward-facing": "spiral",
    "trajectory": "trajectory",
}


@dataclass(frozen=True)
class Ground:
    """What a path is planned on: upright cameras, what they do, what is free."""

    upright: Upright
    capture: Capture
    lens: Lens
    size: tuple[int, int]
    focus: float
    free: Callable[[Points], Bool[np.ndarray, "point"]] | None = None

    @property
    def poses(self) -> Poses:
        return self.upright.poses


def plan_path(scene: Scene, config: PathConfig, depth_of: DepthOf | None = None) -> CameraPath:
    """The camera path through a scene.

    Args:
        scene: with a split "train".
        config: which kind of path, how long, and adjustments.
        depth_of: renders depth; without it, only the cameras are known.

    Raises:
        UserError: `config.kind` is a file that is missing or wrong.
    """
    cameras = scene.cameras[scene.splits["train"]]
    photos = None if depth_of is None else PhotoDepth(cameras, depth_of)
    ground = _ground(scene, cameras, config, photos)
    kind = config.kind or _suitable(scene, ground)
    if kind in KINDS:
        path = _supported(ground, kind, config, photos)
    else:
        path, kind = read_path(Path(kind), scene, ground.lens, ground.size), "file"
    return _finished(scene, ground, kind, path, photos)


def path_scene(scene: Scene, path: CameraPath) -> Scene:
    """The scene with the path's cameras alone, as its split "path"."""
    count = len(path.cameras)
    return replace(
        scene, cameras=path.cameras, frames=(None,) * count, splits={"path": list(range(count))}
    )


def _ground(
    scene: Scene, cameras: Cameras, config: PathConfig, photos: PhotoDepth | None
) -> Ground:
    poses = cameras.c2w.double().numpy()
    file_up = np.array([0.0, 0.0, 1.0])
    if scene.to_input is not None:
        file_up = np.linalg.inv(scene.to_input[:3, :3]) @ file_up
    upright = stand_upright(poses, np.array(scene.up, dtype=float), file_up, config.roll)
    capture = describe_capture(upright.poses)
    capture = replace(capture, up=upright.up)
    if photos is not None and capture.kind not in _WITHOUT_SUBJECT:
        capture = replace(capture, subject=_on_surfaces(capture.subject, upright.poses, photos))
    lens, size = _lens(cameras, upright.turns)
    free = None
    # NDC scenes begin at a plane before the cameras: there is no surface beside them.
    if photos is not None and not scene.forward_facing:
        free = FreeSpace(upright.poses, photos.depth_of, scene.bounds.near)
    focus = _NDC_FOCUS if scene.forward_facing else _depth_ahead(upright.poses, capture.subject)
    # In the walk of a camera, where axes meet is not what it looks at.
    if photos is not None and (scene.forward_facing or capture.kind in _WITHOUT_SUBJECT):
        focus = photos.usual
    return Ground(upright, capture, lens, size, focus, free)


def _on_surfaces(
    subject: Float[np.ndarray, "3"], poses: Poses, photos: PhotoDepth
) -> Float[np.ndarray, "3"]:
    """The subject where the photos show it, if that is near where their axes meet."""
    middle = photos.middle()
    usual = float(np.median(np.linalg.norm(poses[:, :, 3] - subject, axis=1)))
    if middle is None or np.linalg.norm(middle - subject) > 0.4 * usual:
        return subject
    return middle


def _depth_ahead(poses: Poses, subject: Float[np.ndarray, "3"]) -> float:
    """Distance to what the cameras look at; of a walk, a guess: some of its steps."""
    ahead = ((subject - poses[:, :, 3]) * -poses[:, :, 2]).sum(1)
    if (ahead > 0).mean() > 0.9:
        return float(np.median(ahead))
    way = np.linalg.norm(np.diff(poses[:, :, 3], axis=0), axis=1)
    return max(4 * float(np.median(way)) if len(way) else 1.0, 1e-6)


def _lens(cameras: Cameras, turns: int) -> tuple[Lens, tuple[int, int]]:
    """The lens and picture size of most photos, stood upright, the principal point in the middle.

    The fields of view are the median of theirs, so no wider than the widest photo's.
    """
    sizes, counts = np.unique(cameras.size.numpy(), axis=0, return_counts=True)
    width, height = (int(side) for side in sizes[counts.argmax()])
    alike = (cameras.size == torch.tensor([width, height])).all(1)
    fx, fy = cameras.intrinsics[alike][:, :2].median(dim=0).values.tolist()
    if turns % 2:
        width, height, fx, fy = height, width, fy, fx
    return (fx, fy, width / 2, height / 2), (width, height)


def _suitable(scene: Scene, ground: Ground) -> str:
    if scene.forward_facing:  # there is nothing but what lies before the cameras
        return "spiral"
    kind = _KIND_OF[ground.capture.kind]
    # All around, but with gaps that no path can cross near a photo.
    if kind in ("orbit", "dome") and covered(_around(ground)) < 360:
        return "arc"
    return kind


def _around(ground: Ground, config: PathConfig | None = None, shrink: float = 0.0) -> Around:
    config = config or PathConfig()
    return Around(
        ground.poses,
        ground.capture.subject,
        ground.upright.up,
        ground.free,
        config.height or 0.0,
        config.radius or 1.0,
        shrink,
    )


def _poses(ground: Ground, kind: str, config: PathConfig, shrink: float) -> Frames:
    up, n_frames = ground.upright.up, config.n_frames
    if kind in ("orbit", "arc", "dome"):
        make = {"orbit": orbit, "arc": arc, "dome": dome}[kind]
        poses = make(_around(ground, config, shrink), n_frames)
    else:
        if kind == "spiral":
            width = (config.radius or 1.0) * (1 - shrink)
            poses = spiral(ground.poses, up, ground.focus, n_frames, width=width, free=ground.free)
        elif kind == "trajectory":
            poses = trajectory(ground.poses, up, n_frames, shrink, ground.free)
        else:
            poses = interpolate(ground.poses, up, n_frames)
        raised = math.tan(math.radians(config.height or 0.0)) * ground.focus
        poses[:, :, 3] += raised * up
    # What is left of a roll that is no quarter turn.
    rest = config.roll - 90 * round(config.roll / 90)
    return turn(poses, rest) if rest else poses


def _cameras(ground: Ground, poses: Frames) -> Cameras:
    return make_cameras(poses, [ground.lens] * len(poses), [ground.size] * len(poses))


def _supported(ground: Ground, kind: str, config: PathConfig, photos: PhotoDepth | None) -> Cameras:
    """The widest path of its kind that is in free space and shows what photos saw."""
    best: tuple[float, Cameras] | None = None
    for shrink in _SHRINK:
        cameras = _cameras(ground, _free_poses(ground, kind, config, shrink))
        if photos is None or kind in _WITHOUT_WIDTH:
            return cameras
        seen = photos.look(cameras[:: max(1, len(cameras) // _LOOKED_AT)])
        lack = LEAST_SUPPORT + _BETWEEN - float(seen.support.min())
        if lack <= 0:
            return cameras
        if best is None or lack + _WIDTH * shrink < best[0]:
            best = lack + _WIDTH * shrink, cameras
    assert best is not None
    return best[1]


def _free_poses(ground: Ground, kind: str, config: PathConfig, shrink: float) -> Frames:
    """The path as the cameras alone tell it; around what is in its way if it is not free."""
    poses = _poses(replace(ground, free=None), kind, config, shrink)
    if ground.free is None or ground.free(poses[:, :, 3]).all():
        return poses
    return _poses(ground, kind, config, shrink)


def _finished(
    scene: Scene, ground: Ground, kind: str, cameras: Cameras, photos: PhotoDepth | None
) -> CameraPath:
    """The path with its figures and notes."""
    poses, train = cameras.c2w.double().numpy(), ground.poses
    subject, near, distance = _nearness(scene, ground, kind, poses)
    figures = Figures(
        angle=near,
        distance=distance,
        blocked=0 if ground.free is None else int((~ground.free(poses[:, :, 3])).sum()),
        seen=None if photos is None else photos.look(cameras),
        covered=covered(_around(ground)) if kind == "arc" else None,
        frames=poses,
        photos=train,
        names=_names(scene),
    )
    support = None if figures.seen is None else figures.seen.support
    return CameraPath(cameras, kind, subject, near, distance, support, notes_of(figures))


def _nearness(
    scene: Scene, ground: Ground, kind: str, poses: Frames
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "frame"], Float[np.ndarray, "frame"]]:
    """The path's subject, degrees to the nearest photo, and distance over what photos have."""
    train, subject = ground.poses, ground.capture.subject
    parallel = scene.forward_facing or ground.capture.kind == "forward-facing"
    if parallel:
        subject = train[:, :, 3].mean(0) - ground.focus * train[:, :, 2].mean(0)
    angle = angles(poses[:, :, 3], train[:, :, 3], subject)
    low, high = distance_range(angle, np.linalg.norm(train[:, :, 3] - subject, axis=1))
    distance = np.linalg.norm(poses[:, :, 3] - subject, axis=1)
    distance = distance / np.clip(distance, low, high)
    if ground.capture.kind != "trajectory" or parallel:
        return subject, angle.min(1), distance
    # A walk has no one subject: each frame is about what it looks at.
    ahead = np.full(len(poses), ground.focus)
    near = from_looked_at(poses[:, :, 3], -poses[:, :, 2], train[:, :, 3], -train[:, :, 2], ahead)
    return subject, near, np.ones(len(poses))


def _names(scene: Scene) -> list[str | None]:
    """Names of the training photos; a checkpoint's scene has none."""
    frames = [scene.frames[i] for i in scene.splits["train"]]
    return [None if frame is None else frame.name for frame in frames]
