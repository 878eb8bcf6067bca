"""Small rigid motions of cameras: a rotation vector and a translation each."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def rotation(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotations by |vector| radians around the vector's direction; differentiable at zero too.

    Rodrigues: R = 1 + sin(a) / a K + (1 - cos(a)) / a^2 K^2, K the cross product with the vector.
    """
    angle = (vector.square().sum(dim=-1) + 1e-24).sqrt()[..., None, None]
    x, y, z = vector.unbind(-1)
    o = torch.zeros_like(x)
    cross = torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).unflatten(-1, (3, 3))
    first = torch.sinc(angle / math.pi)
    second = 0.5 * torch.sinc(angle / (2 * math.pi)).square()
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    return identity + first * cross + second * (cross @ cross)


def move(
    c2w: Float[Tensor, "*batch 3 4"], motion: Float[Tensor, "*batch 6"], center: Float[Tensor, "3"]
) -> Float[Tensor, "*batch 3 4"]:
    """Cameras, turned around a point of the world and then shifted.

    Args:
        motion: a rotation vector in radians and a translation, in the world's axes.
        center: the point.
    """
    turn = rotation(motion[..., :3])
    place = turn @ (c2w[..., 3] - center)[..., None]
    place = place + (center + motion[..., 3:])[..., None]
    return torch.cat([turn @ c2w[..., :3], place], dim=-1)
