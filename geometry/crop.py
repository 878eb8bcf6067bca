"""A box, turned in any way, outside of which a scene is not shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geometry.ndc import NDC

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class CropBox:
    """What of a scene is shown, in scene coordinates.

    Args:
        center: of the box.
        half: half its sides.
        axes: unit vectors along its sides, at right angles to each other.
    """

    center: Vector
    half: Vector
    axes: tuple[Vector, Vector, Vector] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    def contains(
        self, x: Float[Tensor, "*point 3"], ndc: NDC | None = None
    ) -> Bool[Tensor, "*point"]:
        """Whether points lie in the box.

        Args:
            x: points of the rays' space.
            ndc: the map from the scene to that space, where it is another.
        """
        if ndc is not None:
            x = ndc.inverse_points(x)
        inside = torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device)
        for axis, half in zip(self.axes, self.half, strict=True):
            along = (x - x.new_tensor(self.center)) @ x.new_tensor(axis)
            inside &= along.abs() <= half
        return inside

    def corners(self) -> Float[np.ndarray, "8 3"]:
        """The box's corners: all signs of the first axis, of the second, of the third."""
        signs = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3, indexing="ij"), axis=-1).reshape(8, 3)
        return np.asarray(self.center) + (signs * self.half) @ np.asarray(self.axes)

    def is_box(self) -> bool:
        """Whether these are the numbers of a box."""
        axes = np.asarray(self.axes, dtype=float)
        numbers = np.array([*self.center, *self.half])
        return bool(
            np.isfinite(numbers).all()
            and min(self.half) > 0
            and np.abs(axes @ axes.T - np.eye(3)).max() < 1e-3
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a checkpoint keeps them."""
        values = asdict(self)
        return {**values, "axes": [list(axis) for axis in self.axes]}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> CropBox:
        """The box that `to_dict` made plain values of. Raises ValueError where it is none."""
        x, y, z = (_vector(axis) for axis in values["axes"])
        box = CropBox(_vector(values["center"]), _vector(values["half"]), (x, y, z))
        if not box.is_box():
            raise ValueError("the crop is no box")
        return box


def _vector(values: Any) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
