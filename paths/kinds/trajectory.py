"""Paths along the cameras' own way: a walk (`trajectory`), or through some cameras (`interp`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from geometry.poses import Poses
from paths.kinds.tour import longest_stretch, order, shortest, steps
from paths.level import level
from paths.path import Frames
from paths.smooth import blur, even_steps, sample, spline

_SAMPLES = 600
# Looking straight up or down has no level horizon.
_STEEPEST = 78.0


def trajectory(
    poses: Poses,
    up: Float[np.ndarray, "3"],
    n_frames: int,
    shrink: float = 0.0,
    free: Callable[[Float[np.ndarray, "point 3"]], Bool[np.ndarray, "point"]] | None = None,
) -> Frames:
    """The cameras' way made smooth: around where its ends meet, else there and back.

    Args:
        poses: of upright training cameras.
        shrink: share of the way that is left out, at its ends.
        free: tells free space; where a corner is cut through a wall, the way keeps to the cameras.
    """
    if len(poses) == 1:
        return np.repeat(poses, n_frames, axis=0)
    far = steps(poses)
    way = order(far)
    legs = far[way[:-1], way[1:]]
    stretch = longest_stretch(legs)
    way = way[stretch]
    legs = far[way[:-1], way[1:]]
    last = float(far[way[-1], way[0]])
    closed = len(way) >= 8 and last <= 2.5 * max(float(legs.mean()), 1e-9)
    if closed:
        way, legs = [*way, way[0]], np.append(legs, far[way[-1], way[0]])
    along = np.concatenate([[0.0], np.cumsum(np.maximum(legs, 1e-6))])
    at = np.linspace(0, along[-1], _SAMPLES, endpoint=not closed)
    if shrink and not closed:
        at = np.linspace(along[-1] * shrink / 2, along[-1] * (1 - shrink / 2), _SAMPLES)
    track = _linear(poses[way][:, :, 3], along, at)
    axis = -_linear(poses[way][:, :, 2], along, at)
    sigma = _SAMPLES * max(0.8 / max(len(legs), 1), 1 / 30)
    smooth = blur(track, sigma, closed)
    if free is not None:
        close = blur(track, sigma / 4, closed)
        for _ in range(3):
            held = (~free(smooth)).astype(float)
            if not held.any():
                break
            held = np.clip(3 * blur(held, sigma / 2, closed), 0, 1)[:, None]
            smooth = (1 - held) * smooth + held * close
        smooth = blur(smooth, sigma / 4, closed)
    axis = blur(axis, 1.3 * sigma, closed)
    return _fly(smooth, axis, up, n_frames, closed)


def interpolate(poses: Poses, up: Float[np.ndarray, "3"], n_frames: int, stops: int = 12) -> Frames:
    """Through some of the cameras, by the cubic spline; around, or there and back over a gap."""
    if len(poses) == 1:
        return np.repeat(poses, n_frames, axis=0)
    far = steps(poses)
    way = shortest(far)
    legs = far[way[:-1], way[1:]]
    last = float(far[way[-1], way[0]])
    closed = len(way) > 2 and last <= 3 * max(float(np.median(legs)), 1e-9)
    if len(way) > stops:
        even = (
            np.linspace(0, len(way), stops, endpoint=False)
            if closed
            else np.linspace(0, len(way) - 1, stops)
        )
        way = [way[int(i)] for i in even]
    chosen = poses[way]
    legs = far[way[:-1], way[1:]]
    if closed:
        legs = np.append(legs, far[way[-1], way[0]])
    # Centripetal knots: no loops beside unequal legs (Lee, 1989).
    knots = np.concatenate([[0.0], np.cumsum(np.sqrt(np.maximum(legs, 1e-6)))])
    at = np.linspace(0, knots[-1], _SAMPLES, endpoint=not closed)
    positions = spline(chosen[:, :, 3], knots, at, closed)
    axis = -spline(chosen[:, :, 2], knots, at, closed)
    return _fly(positions, axis, up, n_frames, closed)


def _linear(values: np.ndarray, along: np.ndarray, at: np.ndarray) -> Float[np.ndarray, "sample 3"]:
    return np.stack([np.interp(at, along, column) for column in values.T], axis=1)


def _fly(
    positions: Float[np.ndarray, "sample 3"],
    axis: Float[np.ndarray, "sample 3"],
    up: Float[np.ndarray, "3"],
    n_frames: int,
    closed: bool,
) -> Frames:
    """Cameras along a finely sampled curve at an even speed, or in a swing."""
    axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
    size = np.linalg.norm(np.ptp(positions, axis=0))
    at = even_steps(positions, axis, max(float(size) / 4, 1e-9), n_frames, closed)
    positions, axis = sample(positions, at, closed), sample(axis, at, closed)
    rise = axis @ up
    flat = axis - rise[:, None] * up
    steepest = np.tan(np.radians(_STEEPEST)) * np.linalg.norm(flat, axis=1)
    axis = flat + np.clip(rise, -steepest, steepest)[:, None] * up
    return level(positions, axis, up)
