"""Made scenes for paths: known cameras before known surfaces, whose depth is exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from datasets.scene import Scene
from geometry.cameras import Cameras, make_cameras
from geometry.ndc import NDC
from geometry.poses import apply, average_pose, look_at
from geometry.rays import Bounds

UP = np.array([0.0, 0.0, 1.0])
# Distance along rays from origins (n, 3) in directions (n, 3); infinite where they miss.
Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]


def sphere(centre: Sequence[float], radius: float) -> Surface:
    middle = np.array(centre, dtype=float)

    def hit(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        offset = origin - middle
        b = (offset * direction).sum(-1)
        disc = b**2 - (offset**2).sum(-1) + radius**2
        root = np.sqrt(np.maximum(disc, 0))
        t = np.where(-b - root > 1e-6, -b - root, -b + root)
        return np.where((disc > 0) & (t > 1e-6), t, np.inf)

    return hit


def plane(point: Sequence[float], normal: Sequence[float]) -> Surface:
    place, up = np.array(point, dtype=float), np.array(normal, dtype=float)

    def hit(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        along = direction @ up
        t = ((place - origin) @ up) / np.where(np.abs(along) < 1e-9, 1e-9, along)
        return np.where(t > 1e-6, t, np.inf)

    return hit


def box(low: Sequence[float], high: Sequence[float]) -> Surface:
    """The faces of a box: from outside its near one, from inside the far one."""
    corners = np.array([low, high], dtype=float)

    def hit(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        safe = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
        t = (corners[:, None] - origin) / safe
        enter, leave = t.min(0).max(-1), t.max(0).min(-1)
        first = np.where(enter > 1e-6, enter, leave)
        return np.where((leave >= enter) & (leave > 1e-6), first, np.inf)

    return hit


def depth_of(*surfaces: Surface, counter: list[int] | None = None):
    """Exact depth of the surfaces, as a trained field would be asked for it."""

    def render(cameras: Cameras) -> list[np.ndarray]:
        pictures = []
        for i, (width, height) in enumerate(cameras.size.tolist()):
            y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            image = torch.full((x.numel(),), i)
            origin, direction = cameras.rays(image, x.reshape(-1), y.reshape(-1))
            o, d = origin.double().numpy(), direction.double().numpy()
            t = np.min([surface(o, d) for surface in surfaces], axis=0)
            pictures.append(np.where(np.isfinite(t), t, 0).reshape(height, width))
            if counter is not None:
                counter.append(width * height)
        return pictures

    return render


def scene_of(
    poses: np.ndarray,
    size: tuple[int, int] = (480, 640),
    fov: float = 60.0,
    up: np.ndarray = UP,
    near: float = 0.05,
    ndc: bool = False,
    to_input: np.ndarray | None = None,
) -> Scene:
    """A scene of these training cameras; fov in degrees along the longer side."""
    focal = 0.5 * max(size) / np.tan(np.radians(fov) / 2)
    if ndc:
        to_input = average_pose(poses)
        poses = apply(np.linalg.inv(to_input), poses)
        up = np.array([0.0, 1.0, 0.0])
    cameras = make_cameras(
        poses, [(focal, focal, size[0] / 2, size[1] / 2)] * len(poses), [size] * len(poses)
    )
    x, y, z = (float(v) for v in up)
    return Scene(
        name="made",
        cameras=cameras,
        frames=(None,) * len(poses),
        splits={"train": list(range(len(poses))), "val": [], "test": []},
        bounds=Bounds(0.0, 1.0, NDC(2 * focal / size[0], 2 * focal / size[1]))
        if ndc
        else Bounds(near, 100.0),
        to_input=to_input,
        up=(x, y, z),
    )


def ring(
    azimuths: np.ndarray,
    elevation: float | np.ndarray,
    distance: float | np.ndarray = 3.0,
    target: Sequence[float] = (0, 0, 0),
    jitter: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """Cameras at angles in degrees around a target; `jitter` in degrees and percents moves them."""
    random = np.random.default_rng(seed)
    middle = np.array(target, dtype=float)
    count = len(azimuths)
    a = np.radians(azimuths + jitter * random.standard_normal(count))
    e = np.radians(elevation + jitter * random.standard_normal(count))
    r = distance * (1 + 0.01 * jitter * random.standard_normal(count))
    offset = np.stack([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)], axis=1)
    positions = middle + offset * np.broadcast_to(r, count)[:, None]
    aim = middle + 0.02 * jitter * random.standard_normal((count, 3))
    return np.stack([look_at(p, t, UP) for p, t in zip(positions, aim, strict=True)])


def along(positions: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Level cameras at positions that look in directions."""
    return np.stack([look_at(p, p + d, UP) for p, d in zip(positions, directions, strict=True)])


def on_side(poses: np.ndarray, clockwise: bool = True) -> np.ndarray:
    """The cameras as they are stored when their pictures must be turned clockwise to stand."""
    right, up = poses[:, :, 0], poses[:, :, 1]
    # Turning the picture clockwise makes its left its top.
    x, y = (-up, right) if clockwise else (up, -right)
    return np.stack([x, y, poses[:, :, 2], poses[:, :, 3]], axis=2)


def captures() -> dict[str, tuple[Scene, Callable[[Cameras], list[np.ndarray]], str]]:
    """Scenes as people take them, with their depth, and the capture's kind."""
    around = np.arange(0, 360, 10.0)
    ball, ground = sphere((0, 0, 0), 0.6), plane((0, 0, -0.6), (0, 0, 1))
    far = sphere((0, 0, 0), 20.0)
    table = depth_of(ball, ground, far)
    wall = depth_of(box((-0.5, 0.1, -0.7), (0.5, 0.5, 0.7)), plane((0, 0.5, 0), (0, -1, 0)))
    street = depth_of(
        plane((0, 3, 0), (0, -1, 0)),
        plane((0, -3, 0), (0, 1, 0)),
        plane((0, 0, -1.6), (0, 0, 1)),
        sphere((20, 0, 0), 60.0),
    )
    room = depth_of(box((-2.5, -2, -1.5), (2.5, 2, 1.2)))
    step = np.linspace(0, 1, 40)
    sway = np.stack([40 * step, 0.3 * np.sin(9 * step), 0.05 * np.sin(31 * step)], axis=1)
    looks = np.stack([np.ones(40), 0.2 * np.sin(7 * step), -0.05 + 0 * step], axis=1)
    turn = np.radians(np.arange(0, 360, 12.0))
    within_room = np.stack([0.5 * np.cos(turn), 0.4 * np.sin(turn), 0 * turn], axis=1)
    outwards = np.stack([np.cos(turn), np.sin(turn), -0.1 + 0 * turn], axis=1)
    grid = np.stack(np.meshgrid(np.linspace(-0.4, 0.4, 5), np.linspace(-0.3, 0.3, 4)), -1)
    flat = np.array([[x, -0.02 * x, z] for x, z in grid.reshape(-1, 2)])
    ahead = np.array([0.0, 4.0, 0.0]) - 0.5 * flat
    # A corridor with a corner: along x, then along y.
    legs = np.concatenate(
        [
            np.stack([np.linspace(0, 8, 25), 0 * step[:25], 0 * step[:25]], axis=1),
            np.stack([np.full(20, 8.0), np.linspace(0.3, 6, 20), 0 * step[:20]], axis=1),
        ]
    )
    bend = np.clip((np.arange(45) - 20) / 9, 0, 1) * np.pi / 2
    heading = np.stack([np.cos(bend), np.sin(bend), 0 * bend], axis=1)
    corridor = depth_of(corner_corridor())
    arcs = {
        f"arc {width}": (
            scene_of(ring(np.linspace(-90 - width / 2, -90 + width / 2, 24), 5.0, jitter=1.5)),
            wall,
            "arc",
        )
        for width in (60, 120, 180)
    }
    rows = np.concatenate([ring(around, 38.0, jitter=1.5), ring(around + 5, 60.0, 3.2, jitter=1.5)])
    house = depth_of(box((-4, -3, 0), (4, 3, 6)), plane((0, 0, 0), (0, 0, 1)))
    return {
        "surround": (scene_of(ring(around, 12.0, jitter=2.0)), table, "surround"),
        **arcs,
        "dome": (scene_of(rows), table, "dome"),
        "forward-facing": (
            scene_of(along(flat, ahead), (640, 480), ndc=True),
            depth_of(plane((0, 0, -4.0), (0, 0, 1))),
            "forward-facing",
        ),
        "street": (scene_of(along(sway, looks), (640, 480), 70), street, "trajectory"),
        "corridor": (scene_of(along(legs, heading), (640, 480), 70), corridor, "trajectory"),
        "room": (scene_of(along(within_room, outwards), (640, 480), 75), room, "trajectory"),
        "drone": (
            scene_of(ring(np.arange(0, 360, 12.0), 33.0, 25.0, (0, 0, 3), jitter=1.5), (640, 360)),
            house,
            "surround",
        ),
        "five": (scene_of(ring(np.arange(0, 100, 20.0), 20.0, jitter=1.0)), table, "arc"),
    }


def corner_corridor() -> Surface:
    """The inner walls of two corridors, 2 wide and 2.4 high, that meet at a right angle."""
    legs = [((-3, -1, -1.2), (9, 1, 1.2)), ((7, -1, -1.2), (9, 9, 1.2))]
    boxes = [np.array(leg, dtype=float) for leg in legs]

    def hit(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        # Inside the union of the two: along a ray, leave one box while not in the other.
        safe = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
        spans = []
        for corners in boxes:
            t = (corners[:, None] - origin) / safe
            spans.append((t.min(0).max(-1), t.max(0).min(-1)))
        inside = [(a <= 1e-6) & (b > 1e-6) for a, b in spans]
        end = np.zeros(len(origin))
        for _ in range(2):
            for a, b in spans:
                end = np.where((a <= end + 1e-6) & (b > end), b, end)
        in_any = inside[0] | inside[1]
        first = np.minimum(*(np.where((b >= a) & (a > 1e-6), a, np.inf) for a, b in spans))
        return np.where(in_any, end, first)

    return hit
