"""The part of space that a scene fills."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A box around the scene, in the coordinates of its rays (NDC for forward-facing ones).

    Args:
        center: of the box.
        half: half its sides. With `unbounded`, they are equal.
        unbounded: the scene goes on outside the box, which then is the part that is shown
            in full detail.
    """

    center: tuple[float, float, float]
    half: tuple[float, float, float]
    unbounded: bool = False
