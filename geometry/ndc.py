"""Normalised device coordinates: an unbounded forward-facing scene in a cube (NeRF, appendix C)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# Of a direction along the axis. Others in single precision are larger, or zero.
_SMALLEST = 1e-9


@dataclass(frozen=True)
class NDC:
    """The perspective map of a reference camera that looks down -z from the origin.

    A point (x, y, z) in front of the plane z = -near maps to
    (-scale_x x / z, -scale_y y / z, 1 + 2 near / z), in [-1, 1] inside the camera's frustum.
    scale_x = 2 fx / width, scale_y = 2 fy / height.
    """

    scale_x: float
    scale_y: float
    near: float = 1.0

    def points(self, x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Map world points with z < 0."""
        x, y, z = x.unbind(-1)
        return torch.stack(
            [-self.scale_x * x / z, -self.scale_y * y / z, 1 + 2 * self.near / z], dim=-1
        )

    def inverse_points(self, x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """The inverse of `points`, up to two million near planes."""
        x, y, z = x.unbind(-1)
        z = -2 * self.near / (1 - z).clamp_min(1e-6)
        return torch.stack([-x * z / self.scale_x, -y * z / self.scale_y, z], dim=-1)

    def rays(
        self, origins: Float[Tensor, "*batch 3"], directions: Float[Tensor, "*batch 3"]
    ) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch 3"]]:
        """Map world rays; the NDC parameter t runs from 0 (the near plane) to 1 (infinity).

        The NDC direction is not a unit vector (equations 25 and 26). A ray along the near plane,
        which has none, is taken as one that meets it far away.
        """
        directions = _off_plane(directions)
        on_plane = self._to_near_plane(origins, directions)
        mapped = self.points(on_plane)
        ratio_x = directions[..., 0] / directions[..., 2] - on_plane[..., 0] / on_plane[..., 2]
        ratio_y = directions[..., 1] / directions[..., 2] - on_plane[..., 1] / on_plane[..., 2]
        direction = torch.stack(
            [-self.scale_x * ratio_x, -self.scale_y * ratio_y, 1 - mapped[..., 2]], dim=-1
        )
        return mapped, direction

    def distance(
        self,
        t: Float[Tensor, "*batch"],
        origins: Float[Tensor, "*batch 3"],
        directions: Float[Tensor, "*batch 3"],
        limit: float,
    ) -> Float[Tensor, "*batch"]:
        """Distance along the world ray of the point at NDC parameter t, at most `limit`.

        On the ray from the near plane, z(t) = -near / (1 - t): equation 22 solved for z.
        """
        z = -self.near / (1 - t).clamp_min(1e-6)
        return ((z - origins[..., 2]) / _off_plane(directions)[..., 2]).clamp(max=limit)

    def _to_near_plane(self, origins: Tensor, directions: Tensor) -> Tensor:
        t = -(self.near + origins[..., 2]) / directions[..., 2]
        return origins + t[..., None] * directions


def _off_plane(directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Directions whose z, by which NDC divides, is not zero."""
    x, y, z = directions.unbind(-1)
    return torch.stack([x, y, torch.where(z.abs() < _SMALLEST, -_SMALLEST, z)], dim=-1)
