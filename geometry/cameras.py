"""Pinhole cameras: from a pixel to a point before the camera, to a ray in the world.

Conventions: camera axes as in OpenGL (+x right, +y up, the camera looks down -z), pixel (0, 0)
has its centre at uv = (0.5, 0.5), v grows downwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from geometry.lens import undistort


def transform(c2w: Float[Tensor, "*camera rows 4"], x_c: Float[Tensor, "*batch 3"]) -> Tensor:
    """Camera coordinates to world coordinates, x_w = R x_c + t.

    Args:
        c2w: camera-to-world matrices [R | t], of 3 rows or 4; one for all points, or one for each
            entry of the first dimensions of x_c, as (N, 4, 4) for (N, 3) or (N, H, W, 3).
        x_c: points in the cameras' coordinates.

    Returns:
        (*batch, 3) points in the world.
    """
    c2w = _for_each(c2w[..., :3, :], 2, x_c)
    return rotate(c2w[..., :3], x_c) + c2w[..., 3]


def inverse_transform(
    c2w: Float[Tensor, "*camera rows 4"], x_w: Float[Tensor, "*batch 3"]
) -> Tensor:
    """World coordinates to camera coordinates, x_c = R^T (x_w - t): undoes `transform`."""
    c2w = _for_each(c2w[..., :3, :], 2, x_w)
    return rotate(c2w[..., :3].transpose(-1, -2), x_w - c2w[..., 3])


def rotate(rotation: Tensor, v: Tensor) -> Tensor:
    """R v for (*batch, 3, 3) and (*batch, 3); a sum beats a batch of 3x3 products on any device."""
    return (rotation * v.unsqueeze(-2)).sum(-1)


def intrinsic_matrix(fx: float, fy: float, cx: float, cy: float) -> Float[Tensor, "3 3"]:
    """K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], in pixels."""
    return torch.tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def pixel_to_camera(
    K: Float[Tensor, "*camera 4"] | Float[Tensor, "*camera 3 3"],
    uv: Float[Tensor, "*batch 2"],
    s: Float[Tensor, "*batch"] | float = 1.0,
) -> Tensor:
    """The point that pixel position `uv` shows at depth `s`.

    x_c = s ((u - cx) / fx, -(v - cy) / fy, -1): K^-1 (u, v, 1) s with y and z turned to OpenGL's.

    Args:
        K: intrinsics in pixels, as matrices or as (fx, fy, cx, cy); one for all positions, or
            one for each entry of the first dimensions of uv.
        uv: positions in the image in pixels, centres at +0.5.
        s: depth along the optical axis.

    Returns:
        (*batch, 3) points in camera coordinates.
    """
    fx, fy, cx, cy, skew = _entries(K, uv)
    u, v = uv.unbind(-1)
    y = (v - cy) / fy
    x = (u - cx - skew * y) / fx if skew is not None else (u - cx) / fx
    point = torch.stack([x, -y, -torch.ones_like(x)], dim=-1)
    return point * (s.unsqueeze(-1) if isinstance(s, Tensor) else s)


def camera_to_pixel(
    K: Float[Tensor, "*camera 4"] | Float[Tensor, "*camera 3 3"], x_c: Float[Tensor, "*batch 3"]
) -> tuple[Tensor, Tensor]:
    """Where a point appears: undoes `pixel_to_camera`.

    u = fx x / s + cx, v = -fy y / s + cy with the depth s = -z; a point behind the camera has a
    negative depth.

    Returns:
        uv (*batch, 2) in pixels and depth (*batch).
    """
    fx, fy, cx, cy, skew = _entries(K, x_c)
    x, y, z = x_c.unbind(-1)
    x, y = x / -z, y / z
    u = fx * x + skew * y + cx if skew is not None else fx * x + cx
    return torch.stack([u, fy * y + cy], dim=-1), -z


def pixel_to_ray(
    K: Float[Tensor, "*lens 4"] | Float[Tensor, "*lens 3 3"],
    c2w: Float[Tensor, "*camera rows 4"],
    uv: Float[Tensor, "*batch 2"],
) -> tuple[Tensor, Tensor]:
    """The ray of pixel position `uv`: origin t, unit direction R x_c / |x_c|.

    Args:
        K, uv: as for `pixel_to_camera`.
        c2w: as for `transform`.

    Returns:
        origins and directions, (*batch, 3) each, in the world's units.
    """
    x_c = pixel_to_camera(K, uv)
    c2w = _for_each(c2w[..., :3, :], 2, x_c)
    direction = rotate(c2w[..., :3], x_c)
    direction = direction / direction.norm(dim=-1, keepdim=True)
    return c2w[..., 3].expand_as(direction), direction


def _for_each(value: Tensor, own: int, points: Tensor) -> Tensor:
    """Broadcast cameras, each of `own` dimensions, along the later dimensions of `points`."""
    missing = points.dim() - 1 - (value.dim() - own)
    if missing <= 0 or value.dim() == own:
        return value
    shape = (*value.shape[: value.dim() - own], *(1,) * missing, *value.shape[value.dim() - own :])
    return value.reshape(shape)


def _entries(K: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """fx, fy, cx, cy, and the skew of a matrix, in the shape of `points`."""
    if K.shape[-1] == 3:
        K = _for_each(K, 2, points)
        return K[..., 0, 0], K[..., 1, 1], K[..., 0, 2], K[..., 1, 2], K[..., 0, 1]
    fx, fy, cx, cy = _for_each(K, 1, points).unbind(-1)
    return fx, fy, cx, cy, None


@dataclass(frozen=True)
class Cameras:
    """A set of pinhole cameras, on one device.

    c2w maps camera to world coordinates (a rotation and a translation, in scene units);
    intrinsics are (fx, fy, cx, cy) in pixels; size is (width, height) in pixels. radial holds the
    terms k1 and k2 of a lens whose distortion is not undone in the photos; None of an ideal one.
    """

    c2w: Float[Tensor, "camera 3 4"]
    intrinsics: Float[Tensor, "camera 4"]
    size: Int[Tensor, "camera 2"]
    radial: Float[Tensor, "camera 2"] | None = None

    def __len__(self) -> int:
        return len(self.c2w)

    def __getitem__(self, indices: int | list[int] | slice) -> Cameras:
        """Some of the cameras; of one index, a set of one."""
        if isinstance(indices, int):
            indices = [indices]
        return self._map(lambda values: values[indices])

    def to(self, device: torch.device | str) -> Cameras:
        return self._map(lambda values: values.to(device))

    def detach(self) -> Cameras:
        """The same cameras, as constants."""
        return self._map(Tensor.detach)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Cameras:
        radial = None if self.radial is None else change(self.radial)
        return Cameras(change(self.c2w), change(self.intrinsics), change(self.size), radial)

    def rays(
        self,
        image: Int[Tensor, "ray"],
        x: Int[Tensor, "ray"],
        y: Int[Tensor, "ray"],
    ) -> tuple[Float[Tensor, "ray 3"], Float[Tensor, "ray 3"]]:
        """World rays through the centres of pixels (x, y) of the cameras `image`."""
        uv = torch.stack([x, y], dim=-1).to(self.c2w.dtype) + 0.5
        K, c2w = self.intrinsics[image], self.c2w[image]
        if self.radial is None:
            return pixel_to_ray(K, c2w, uv)
        seen = (uv - K[:, 2:]) / K[:, :2]
        return pixel_to_ray(K, c2w, K[:, 2:] + K[:, :2] * undistort(seen, self.radial[image]))

    def resized(self, width: int, height: int) -> Cameras:
        """The same cameras with images of width x height pixels."""
        factor = torch.tensor([width, height], device=self.size.device) / self.size
        return replace(
            self,
            intrinsics=self.intrinsics * torch.cat([factor, factor], dim=-1),
            size=torch.tensor([[width, height]], device=self.size.device).expand(len(self), 2),
        )

    def to_dict(self) -> dict[str, list]:
        """The cameras as lists of numbers, as a checkpoint keeps them."""
        return {
            "c2w": self.c2w.tolist(),
            "intrinsics": self.intrinsics.tolist(),
            "size": self.size.tolist(),
        }

    @staticmethod
    def from_dict(values: dict[str, list]) -> Cameras:
        return Cameras(
            torch.tensor(values["c2w"], dtype=torch.float32).reshape(-1, 3, 4),
            torch.tensor(values["intrinsics"], dtype=torch.float32).reshape(-1, 4),
            torch.tensor(values["size"], dtype=torch.int64).reshape(-1, 2),
        )


def make_cameras(
    c2w: Float[np.ndarray, "camera 3 4"],
    intrinsics: list[tuple[float, float, float, float]],
    sizes: list[tuple[int, int]],
) -> Cameras:
    """Cameras from NumPy poses and lists."""
    return Cameras(
        torch.from_numpy(np.ascontiguousarray(c2w, dtype=np.float32)),
        torch.tensor(intrinsics, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2),
    )
