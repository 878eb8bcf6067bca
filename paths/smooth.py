"""Smooth curves through a few numbers or many, closed or with two ends."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Values = Float[np.ndarray, "sample *value"]


def blur(values: Values, sigma: float, closed: bool) -> Values:
    """Gaussian of `sigma` samples along the first axis; an open curve keeps the level at its ends.

    The ends are continued by their mirror image through the end point, so that a slope stays one.
    """
    count = len(values)
    reach = min(int(np.ceil(3.5 * sigma)), count - 1 if not closed else 10 * count)
    if reach < 1:
        return values.copy()
    if closed:
        padded = values[np.arange(-reach, count + reach) % count]
    else:
        before = 2 * values[:1] - values[1 : reach + 1][::-1]
        after = 2 * values[-1:] - values[-reach - 1 : -1][::-1]
        padded = np.concatenate([before, values, after])
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    return windows @ kernel


def within(
    values: Float[np.ndarray, "sample"],
    low: Float[np.ndarray, "sample"],
    high: Float[np.ndarray, "sample"],
    sigma: float,
    closed: bool,
) -> Float[np.ndarray, "sample"]:
    """The smoothest curve near `values` that keeps between two others.

    It minimises |x - values|^2 + sigma^4 |x''|^2 under low <= x <= high, by alternating
    directions (ADMM; Boyd et al., 2011): waves shorter than about 2 pi sigma samples are left out.
    """
    count = len(values)
    second = np.diff(np.eye(count), 2, axis=0)
    if closed:
        second = np.roll(np.eye(count), 1, 0) - 2 * np.eye(count) + np.roll(np.eye(count), -1, 0)
    cost = np.eye(count) + sigma**4 * second.T @ second
    unit = float(np.abs(high - low).mean()) + 1e-9
    rho = 10.0
    solve = np.linalg.inv(cost + rho * np.eye(count))
    curve, bounded, dual = values, np.clip(values, low, high), np.zeros(count)
    for _ in range(2000):
        curve = solve @ (values + rho * (bounded - dual))
        bounded = np.clip(curve + dual, low, high)
        dual = dual + curve - bounded
        if np.abs(curve - bounded).max() < 1e-3 * unit:
            break
    return curve


def swing(n_frames: int) -> Float[np.ndarray, "frame"]:
    """Back and forth between 0 and 1 with soft turns, and a seamless loop: (1 - cos) / 2."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_frames) / n_frames)


def sample(
    curve: Values, at: Float[np.ndarray, "frame"], closed: bool
) -> Float[np.ndarray, "frame *value"]:
    """A finely sampled curve at fractional indices, by Catmull and Rom's cubic (1974)."""
    count = len(curve)
    index = np.floor(at).astype(int)
    s = (at - index).reshape(-1, *(1,) * (curve.ndim - 1))
    around = index[:, None] + np.arange(-1, 3)
    around = around % count if closed else np.clip(around, 0, count - 1)
    before, start, end, after = (curve[around[:, k]] for k in range(4))
    return start + 0.5 * s * (
        end
        - before
        + s * (2 * before - 5 * start + 4 * end - after + s * (3 * (start - end) + after - before))
    )


def spline(
    stops: Values,
    knots: Float[np.ndarray, "knot"],
    at: Float[np.ndarray, "frame"],
    closed: bool,
) -> Float[np.ndarray, "frame *value"]:
    """The cubic spline through `stops`: its second derivative is continuous.

    Args:
        stops: values at the knots; of a closed curve, each once.
        knots: increasing; of a closed curve one more than stops, where it comes around.
        at: where to evaluate it.
        closed: periodic; otherwise with no slope at its ends, so that it can turn there.
    """
    if closed:
        stops = np.concatenate([stops, stops[:1]])
    flat = stops.reshape(len(stops), -1)
    h = np.diff(knots)
    slope = np.diff(flat, axis=0) / h[:, None]
    n = len(knots)
    # Equations for the second derivatives at the knots (de Boor, 1978).
    lhs, rhs = np.zeros((n, n)), np.zeros((n, flat.shape[1]))
    for i in range(1, n - 1):
        lhs[i, i - 1 : i + 2] = h[i - 1], 2 * (h[i - 1] + h[i]), h[i]
        rhs[i] = 6 * (slope[i] - slope[i - 1])
    if closed:
        lhs[0, [0, -1]] = 1, -1
        lhs[-1, [0, 1, -2, -1]] += 2 * h[0], h[0], h[-1], 2 * h[-1]
        rhs[-1] = 6 * (slope[0] - slope[-1])
    else:
        lhs[0, :2], rhs[0] = (2 * h[0], h[0]), 6 * slope[0]
        lhs[-1, -2:], rhs[-1] = (h[-1], 2 * h[-1]), -6 * slope[-1]
    second = np.linalg.solve(lhs, rhs)
    leg = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, n - 2)
    a, b, width = (knots[leg + 1] - at)[:, None], (at - knots[leg])[:, None], h[leg][:, None]
    value = (
        (second[leg] * a**3 + second[leg + 1] * b**3) / (6 * width)
        + (flat[leg] / width - second[leg] * width / 6) * a
        + (flat[leg + 1] / width - second[leg + 1] * width / 6) * b
    )
    return value.reshape(len(at), *stops.shape[1:])


def even_steps(
    positions: Float[np.ndarray, "sample 3"],
    directions: Float[np.ndarray, "sample 3"],
    unit: float,
    n_frames: int,
    closed: bool,
) -> Float[np.ndarray, "frame"]:
    """Fractional indices into a curve at which it is flown at an even speed, or swings.

    Args:
        positions, directions: of the curve, finely sampled.
        unit: the way that counts as much as a radian of turning.
    """
    moved = np.linalg.norm(np.diff(positions, axis=0, append=positions[:1]), axis=1) / unit
    turned = np.linalg.norm(np.diff(directions, axis=0, append=directions[:1]), axis=1)
    step = np.hypot(moved, turned) + 1e-9
    if not closed:
        step = step[:-1]
    # A curve that slows down at a corner does so softly.
    step = blur(step, 0.03 * len(step), closed)
    step = np.maximum(step, 1e-9)
    way = np.concatenate([[0.0], np.cumsum(step)])
    share = np.arange(n_frames) / n_frames if closed else swing(n_frames)
    return np.interp(share * way[-1], way, np.arange(len(way)))
