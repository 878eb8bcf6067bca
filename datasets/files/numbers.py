"""Numbers from users' files: finite, of a size that single precision holds, and named if wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from errors import UserError

# Beyond this, squares of distances leave single precision.
LARGEST = 1e15


def finite(value: Any, what: str) -> float:
    """The value as a float. Numbers in quotes are taken too; some tools write them.

    Args:
        what: the file and the key, for the message.

    Raises UserError where it is no number, not finite or beyond 1e15.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str | np.number):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{what} needs a number, not {shown(value)}") from error
    if not abs(number) <= LARGEST:
        raise UserError(f"{what} is {number:.4g}: it must be finite, and under {LARGEST:.0e}")
    return number


def positive(value: Any, what: str) -> float:
    """The value as a float above zero."""
    number = finite(value, what)
    if not number > 1 / LARGEST:
        raise UserError(f"{what} must be positive, not {number:g}")
    return number


def whole(value: Any, what: str, least: int = 0) -> int:
    """The value as an integer of at least `least`."""
    number = finite(value, what)
    if number != int(number) or number < least:
        raise UserError(f"{what} must be a whole number of at least {least}, not {number:g}")
    return int(number)


def number_of(
    source: Mapping[str, Any], key: str, where: object, default: float | None = None
) -> float:
    """The number under a key; `default` where the key is absent or null.

    Args:
        where: the file, for the message.
    """
    value = source.get(key)
    if value is None and default is not None:
        return default
    return finite(value, f'{where}: "{key}"')


def matrix(value: Any, shapes: Sequence[tuple[int, ...]], what: str) -> np.ndarray:
    """Nested lists (or an array) as a float64 array of one of the shapes, all of it finite.

    Messages name the first of the shapes.

    Args:
        what: the file and the key, for the message.
    """
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{what} needs a matrix of numbers, not {shown(value)}") from error
    if array.shape not in shapes:
        raise UserError(f"{what} needs the shape {shapes[0]}, not {array.shape}")
    return checked(array, what)


def checked(array: np.ndarray, what: str) -> np.ndarray:
    """The array, if each of its numbers is finite and under 1e15."""
    if not np.isfinite(array).all():
        raise UserError(f"{what} holds NaN or infinity")
    if array.size and np.abs(array).max() > LARGEST:
        raise UserError(f"{what} holds {np.abs(array).max():.4g}: no scene is that large")
    return array


def shown(value: Any) -> str:
    """The value as a message shows it: short."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists within lists
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_number(value: Any) -> bool:
    """Whether the value is a finite number of a size that `finite` takes, not one in quotes."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and abs(value) <= LARGEST
    )
