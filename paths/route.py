"""The cheapest way around through a table of costs, and the longest run in a circle."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def cheapest_route(
    cost: Float[np.ndarray, "column row"], steepest: int, price: float
) -> tuple[Int[np.ndarray, "column"], float]:
    """One row for each column, coming back to the first: the cheapest such closed route.

    Dynamic programming over the columns, for every row to start from at once.

    Args:
        steepest: rows that it may go up or down from one column to the next.
        price: of each such row, squared.

    Returns:
        the rows, and the route's cost.
    """
    columns, rows = cost.shape
    shifts = range(-steepest, steepest + 1)
    # best[s, r]: the cheapest way from row s of the first column to row r of this one.
    best = np.full((rows, rows), np.inf)
    np.fill_diagonal(best, cost[0])
    came = np.zeros((columns + 1, rows, rows), dtype=np.int64)
    for column in range(1, columns + 1):
        options = np.stack([_shifted(best, shift) + price * shift**2 for shift in shifts])
        came[column] = options.argmin(0)
        best = options.min(0) + (cost[column] if column < columns else 0.0)
    start = int(np.diagonal(best).argmin())
    row, route = start, []
    for column in range(columns, 0, -1):
        row = row - (int(came[column, start, row]) - steepest)
        route.append(row)
    return np.array(route[::-1]), float(best[start, start])


def _shifted(values: Float[np.ndarray, "start row"], shift: int) -> Float[np.ndarray, "start row"]:
    """Values moved up by `shift` rows, infinite where nothing comes from."""
    moved = np.full_like(values, np.inf)
    if shift > 0:
        moved[:, shift:] = values[:, :-shift]
    elif shift < 0:
        moved[:, :shift] = values[:, -shift:]
    else:
        moved = values
    return moved


def longest_run(good: Bool[np.ndarray, "column"]) -> tuple[int, int] | None:
    """First index and length of the longest run of True in a circle; None where there is none."""
    if good.all():
        return 0, len(good)
    if not good.any():
        return None
    offset = int(np.flatnonzero(~good)[0])  # a run that starts after a False is whole
    turned = np.roll(good, -offset)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], turned, [False]]).astype(int)))
    starts, ends = edges[::2], edges[1::2]
    longest = int((ends - starts).argmax())
    return (int(starts[longest]) + offset) % len(good), int(ends[longest] - starts[longest])
