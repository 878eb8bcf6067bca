"""What a path shows that photos saw: from the cameras, and from depth that the field renders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from geometry.cameras import Cameras
from paths.free_space import surface_points
from paths.nearness import Points
from paths.path import DepthOf

_SIDE = 64  # pixels of the longer side of a depth picture
_MOST_PHOTOS = 60
_EVERY = 2  # rows and columns of a frame's depth that are looked up
# Relative difference of two depths of a surface up to which they are the same one.
_SAME = 0.1


@dataclass(frozen=True)
class Seen:
    """What a path shows.

    Attributes:
        support: share of each frame's surface that two photos or more saw.
        unseen: mean place in the picture of what fewer saw: right and up of the middle, -1 to 1.
    """

    support: Float[np.ndarray, "frame"]
    unseen: Float[np.ndarray, "frame 2"]


class PhotoDepth:
    """The depth that training photos would have, to tell which surfaces each of them saw."""

    def __init__(self, cameras: Cameras, depth_of: DepthOf) -> None:
        """Render it.

        Args:
            cameras: of the training photos; of many, some stand for all.
        """
        chosen = np.unique(np.linspace(0, len(cameras) - 1, _MOST_PHOTOS).round().astype(int))
        self.depth_of = depth_of
        self.cameras = small(cameras[chosen.tolist()])
        self.depth = render(self.cameras, depth_of)
        known = np.concatenate([d[(d > 0) & np.isfinite(d)] for d in self.depth])
        self.usual = float(np.median(known)) if len(known) else 1.0

    def middle(self) -> Float[np.ndarray, "3"] | None:
        """The middle of the surfaces in the middle of the photos; None where most show nothing.

        The optical axes meet a little behind what is photographed from one side.
        """
        cut = []
        for picture in self.depth:
            kept = np.zeros_like(picture)
            height, width = picture.shape
            rows = slice(2 * height // 5, max(3 * height // 5, 2 * height // 5 + 1))
            columns = slice(2 * width // 5, max(3 * width // 5, 2 * width // 5 + 1))
            known = picture[rows, columns]
            known = known[(known > 0) & np.isfinite(known)]
            if len(known):
                kept[height // 2, width // 2] = np.median(known)
            cut.append(kept)
        points, _ = surface_points(self.cameras, cut)
        return np.median(points, axis=0) if 2 * len(points) >= len(cut) else None

    def look(self, frames: Cameras) -> Seen:
        """Compute what each frame shows, and whether photos saw it."""
        pictures = small(frames)
        depth = render(pictures, self.depth_of)
        sparse = []
        for picture in depth:
            kept = np.zeros_like(picture)
            kept[_EVERY // 2 :: _EVERY, _EVERY // 2 :: _EVERY] = 1
            sparse.append(picture * kept)
        points, frame = surface_points(pictures, sparse)
        seen_by = np.zeros(len(points), dtype=int)
        for i in range(len(self.cameras)):
            seen_by += self._sees(i, points)
        enough = seen_by >= 2
        count = len(frames)
        total = np.bincount(frame, minlength=count)
        support = np.where(total > 0, np.bincount(frame, enough, count) / np.maximum(total, 1), 1.0)
        local = _in_picture(pictures, points, frame)
        missing = np.maximum(np.bincount(frame, ~enough, count), 1)
        unseen = np.stack(
            [np.bincount(frame, local[:, k] * ~enough, count) / missing for k in (0, 1)], axis=1
        )
        return Seen(support, unseen)

    def _sees(self, photo: int, points: Points) -> Bool[np.ndarray, "point"]:
        """Which points are in the photo and are the surface that it has there."""
        depth = self.depth[photo]
        height, width = depth.shape
        u, v, ahead = _project(self.cameras, photo, points)
        inside = np.flatnonzero(ahead & (u >= 0) & (u < width) & (v >= 0) & (v < height))
        centre = self.cameras.c2w[photo, :, 3].double().numpy()
        distance = np.linalg.norm(points[inside] - centre, axis=1)
        # Between the least and the greatest of the four pixels around: edges and slopes.
        x = np.clip(np.floor(u[inside] - 0.5).astype(int), 0, width - 2)
        y = np.clip(np.floor(v[inside] - 0.5).astype(int), 0, height - 2)
        around = np.stack([depth[y + i, x + j] for i in (0, 1) for j in (0, 1)])
        there = np.where(around > 0, around, np.inf)
        # Far away, depth is known by disparity: so is what is the same there.
        slack = _SAME * np.maximum(1 / distance, 1 / self.usual)
        behind = 1 / distance < 1 / there.max(0) - slack
        before = 1 / distance > 1 / there.min(0) + slack
        seen = np.zeros(len(points), dtype=bool)
        seen[inside] = ~behind & ~before & np.isfinite(there.min(0))
        return seen


def small(cameras: Cameras) -> Cameras:
    """The cameras with pictures of 64 pixels along the longer side."""
    sizes = cameras.size.tolist()
    parts = []
    for i, (width, height) in enumerate(sizes):
        factor = _SIDE / max(width, height)
        parts.append(
            cameras[[i]].resized(max(2, round(width * factor)), max(2, round(height * factor)))
        )
    return join(parts)


def join(parts: list[Cameras]) -> Cameras:
    """The cameras of all, in their order."""
    return Cameras(
        torch.cat([p.c2w for p in parts]),
        torch.cat([p.intrinsics for p in parts]),
        torch.cat([p.size for p in parts]),
    )


def render(cameras: Cameras, depth_of: DepthOf) -> list[np.ndarray]:
    return [np.asarray(picture, dtype=np.float64) for picture in depth_of(cameras)]


def _project(
    cameras: Cameras, index: int, points: Points
) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, "point"]]:
    """Pixel positions of points, and which are before the camera."""
    c2w = cameras.c2w[index].double().numpy()
    fx, fy, cx, cy = cameras.intrinsics[index].tolist()
    x, y, z = ((points - c2w[:, 3]) @ c2w[:, :3]).T
    ahead = z < -1e-9
    z = np.where(ahead, z, -1.0)
    return fx * x / -z + cx, cy - fy * y / -z, ahead


def _in_picture(
    cameras: Cameras, points: Points, frame: Int[np.ndarray, "point"]
) -> Float[np.ndarray, "point 2"]:
    """Where each frame's own points are in it: right and up of the middle, -1 to 1."""
    place = np.zeros((len(points), 2))
    for i, (width, height) in enumerate(cameras.size.tolist()):
        mine = frame == i
        u, v, _ = _project(cameras, i, points[mine])
        place[mine] = np.stack([2 * u / width - 1, 1 - 2 * v / height], axis=1)
    return place
