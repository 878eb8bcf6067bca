"""In which order to fly through cameras: as they were taken, or the shortest way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from jaxtyping import Float

from geometry.poses import Poses


def steps(poses: Poses) -> Float[np.ndarray, "camera camera"]:
    """How far it is from each camera to each: in typical steps, with half a radian as one.

    Cameras that turn on the spot are far from one another too.
    """
    centre, axis = poses[:, :, 3], poses[:, :, 2]
    moved = np.linalg.norm(centre[:, None] - centre, axis=2)
    following = np.diagonal(moved, 1)
    unit = max(float(np.median(following)), float(moved.max()) / 20, 1e-12)
    turned = np.arccos(np.clip(axis @ axis.T, -1, 1))
    return np.hypot(moved / unit, turned / 0.5)


def order(far: Float[np.ndarray, "camera camera"]) -> list[int]:
    """The cameras' own order where it is a walk, else the shortest way through all of them.

    Args:
        far: how far it is between any two.
    """
    own = list(range(len(far)))
    found = shortest(far)
    return own if _length(far, own) <= 1.5 * _length(far, found) else found


def shortest(far: Float[np.ndarray, "camera camera"]) -> list[int]:
    """A short open way through all: to the nearest left, then crossings undone (2-opt)."""
    count = len(far)
    if count < 3:
        return list(range(count))
    # From an end: the camera that is farthest from the one that is farthest from the first.
    start = int(far[int(far[0].argmax())].argmax())
    route, left = [start], set(range(count)) - {start}
    while left:
        nearest = min(left, key=lambda i: float(far[route[-1], i]))
        route.append(nearest)
        left.remove(nearest)
    way = np.array(route)
    for _ in range(20):
        better = False
        for i in range(count - 1):
            # Turning round the part from i + 1 to j replaces two legs; the last j has but one.
            j = np.arange(i + 1, count)
            after = np.append(way[i + 2 :], -1)
            now = far[way[i], way[i + 1]] + np.where(after >= 0, far[way[j], after], 0)
            then = far[way[i], way[j]] + np.where(after >= 0, far[way[i + 1], after], 0)
            best = int((then - now).argmin())
            if then[best] - now[best] < -1e-9:
                end = i + 2 + best
                way[i + 1 : end] = way[i + 1 : end][::-1]
                better = True
        if not better:
            break
    return [int(i) for i in way]


def longest_stretch(legs: Float[np.ndarray, "leg"]) -> slice:
    """The cameras between two jumps: legs many times as long as is usual here."""
    jumps = np.flatnonzero(legs > max(8 * float(np.median(legs)), 4.0))
    edges = [-1, *jumps.tolist(), len(legs)]
    first, last = max(pairwise(edges), key=lambda pair: pair[1] - pair[0])
    return slice(first + 1, last + 1)


def _length(far: Float[np.ndarray, "camera camera"], way: list[int]) -> float:
    return float(far[way[:-1], way[1:]].sum())
