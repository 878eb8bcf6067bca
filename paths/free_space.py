"""Where space is free: seen past from where a photo was taken, and away from all surfaces."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from geometry.cameras import Cameras, make_cameras
from geometry.poses import Poses
from paths.nearness import Points
from paths.path import DepthOf

_FACE = 32  # pixels of a side of a cube map's face
_MOST_CAMERAS = 40
_MOST_POINTS = 12_000
# Looking along each axis, and the direction that is up in that picture.
_FACES = (
    ((1, 0, 0), (0, 0, 1)),
    ((-1, 0, 0), (0, 0, 1)),
    ((0, 1, 0), (0, 0, 1)),
    ((0, -1, 0), (0, 0, 1)),
    ((0, 0, 1), (0, 1, 0)),
    ((0, 0, -1), (0, 1, 0)),
)


class FreeSpace:
    """What lies around the places where photos were taken, from the field's depth.

    Each of some cameras gets a cube map of the distances around it. A position is free if one of
    them nearby sees past it, and if it keeps from all surfaces about as the photos did.
    """

    def __init__(self, poses: Poses, depth_of: DepthOf, near: float) -> None:
        """Render the maps.

        Args:
            poses: training cameras.
            near: distance under which renderings are cut off.
        """
        chosen = np.unique(np.linspace(0, len(poses) - 1, _MOST_CAMERAS).round().astype(int))
        self.centres: Points = poses[chosen][:, :, 3]
        self.faces = np.stack([_axes(np.array(f, float), np.array(u, float)) for f, u in _FACES])
        c2w = np.concatenate(
            [
                np.broadcast_to(self.faces, (len(chosen), 6, 3, 3)),
                np.broadcast_to(self.centres[:, None, :, None], (len(chosen), 6, 3, 1)),
            ],
            axis=3,
        ).reshape(-1, 3, 4)
        half = _FACE / 2
        lens = [(half, half, half, half)] * len(c2w)
        maps = np.stack(depth_of(make_cameras(c2w, lens, [(_FACE, _FACE)] * len(c2w))))
        maps = np.where(maps > 0, maps, np.inf)
        points = _points(c2w, maps)
        self.maps = maps.reshape(len(chosen), 6, _FACE, _FACE)
        self.points = points[:: max(1, len(points) // _MOST_POINTS)]
        self.kept = kept = self.room(self.centres)
        self.clear = 0.0
        if np.isfinite(kept).all():  # there are surfaces
            # Half of what the photos kept, and out of reach of the near plane as far as they were.
            usual = float(np.percentile(kept, 10))
            self.clear = min(max(0.5 * usual, 1.05 * near), 0.9 * usual)

    def __call__(self, positions: Points) -> Bool[np.ndarray, "point"]:
        """Which positions are free."""
        away = np.linalg.norm(positions[:, None] - self.centres, axis=2)
        # Where a photo was taken is free, whatever stray density a field has before its lens.
        least = np.minimum(self.clear, 0.75 * self.kept[away.argmin(1)])
        return (self.room(positions) >= least) & self.visible(positions)

    def room(self, positions: Points) -> Float[np.ndarray, "point"]:
        """Distance to the nearest surface; a few stray points don't count."""
        if len(self.points) < 4:
            return np.full(len(positions), np.inf)
        room = np.empty(len(positions))
        squares = (self.points**2).sum(1)
        for start in range(0, len(positions), 256):
            part = positions[start : start + 256]
            square = (part**2).sum(1)[:, None] - 2 * part @ self.points.T + squares
            room[start : start + 256] = np.sqrt(
                np.maximum(np.partition(square, 3, axis=1)[:, 3], 0)
            )
        return room

    def visible(self, positions: Points) -> Bool[np.ndarray, "point"]:
        """Which positions one of the six nearest cameras sees, with nothing before them."""
        offset = positions[:, None] - self.centres
        distance = np.linalg.norm(offset, axis=2)
        seen = np.zeros(len(positions), dtype=bool)
        rows = np.arange(len(positions))
        for camera in np.argsort(distance, axis=1)[:, :6].T:
            seen |= self._depth(camera, offset[rows, camera]) >= distance[rows, camera]
        return seen

    def _depth(self, camera: np.ndarray, direction: Points) -> Float[np.ndarray, "point"]:
        """The median of the map's nine pixels around a direction."""
        local = np.einsum("fij,ni->nfj", self.faces, direction)
        face = local[:, :, 2].argmin(1)
        x, y, z = local[np.arange(len(face)), face].T
        z = np.minimum(z, -1e-12)
        column = np.clip(((x / -z + 1) / 2 * _FACE).astype(int), 1, _FACE - 2)
        row = np.clip(((1 - y / -z) / 2 * _FACE).astype(int), 1, _FACE - 2)
        shift = np.arange(-1, 2)
        around = self.maps[
            camera[:, None, None],
            face[:, None, None],
            row[:, None, None] + shift[:, None],
            column[:, None, None] + shift,
        ]
        return np.median(around.reshape(len(face), 9), axis=1)


def _axes(forward: np.ndarray, up: np.ndarray) -> Float[np.ndarray, "3 3"]:
    return np.stack([np.cross(forward, up), up, -forward], axis=1)


def _points(c2w: Poses, maps: Float[np.ndarray, "view row column"]) -> Points:
    """The surfaces that depth maps show."""
    cameras = make_cameras(c2w, [(_FACE / 2,) * 4] * len(c2w), [(_FACE, _FACE)] * len(c2w))
    return surface_points(cameras, list(maps))[0]


def surface_points(
    cameras: Cameras, depth: list[np.ndarray]
) -> tuple[Points, Int[np.ndarray, "point"]]:
    """The points at distances along pixels' rays; those at 0 or infinity are left out.

    Returns:
        the points in scene units, and of each the index of its camera.
    """
    found, whose = [], []
    for i, distances in enumerate(depth):
        height, width = distances.shape
        y, x = np.nonzero((distances > 0) & np.isfinite(distances))
        image = torch.zeros(len(x), dtype=torch.long)
        one = cameras[[i]].resized(width, height)
        origin, direction = one.rays(image, torch.from_numpy(x), torch.from_numpy(y))
        found.append(
            (
                origin.double()
                + direction.double() * torch.from_numpy(distances[y, x].astype(np.float64))[:, None]
            ).numpy()
        )
        whose.append(np.full(len(x), i))
    return np.concatenate(found), np.concatenate(whose)
