"""Radial distortion, as OpenCV has it: x (1 + k1 r^2 + k2 r^4) with x = (X / Z, Y / Z), r = |x|.

Photos are undistorted when they are read (datasets/lens.py); this is what is then left of it.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

_STEPS = 6


def distort(
    x: Float[Tensor, "*batch 2"], radial: Float[Tensor, "*#batch 2"]
) -> Float[Tensor, "*batch 2"]:
    """Where the lens shows what an ideal one shows at x, both in units of the focal length.

    Args:
        radial: k1 and k2.
    """
    k1, k2 = radial[..., :1], radial[..., 1:]
    square = x.square().sum(dim=-1, keepdim=True)
    return x * (1 + square * (k1 + square * k2))


def undistort(
    x: Float[Tensor, "*batch 2"], radial: Float[Tensor, "*#batch 2"]
) -> Float[Tensor, "*batch 2"]:
    """The inverse of `distort` for the small k1 and k2 of a correction, by fixed-point steps."""
    k1, k2 = radial[..., :1], radial[..., 1:]
    ideal = x
    for _ in range(_STEPS):
        square = ideal.square().sum(dim=-1, keepdim=True)
        ideal = x / (1 + square * (k1 + square * k2))
    return ideal
