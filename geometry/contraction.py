"""Scene contraction: all of space in a cube, the middle of it as it is (mip-NeRF 360, eq. 10).

With the maximum norm instead of the Euclidean one, so that its balls are cubes, the shape of a
grid's cells (DVGOv2 and MERF do likewise).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def contract(x: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point 3"]:
    """Points in units of the inner cube's half side, into [-2, 2]^3; inside [-1, 1]^3 they stay."""
    norm = x.abs().amax(dim=-1, keepdim=True).clamp_min(1)
    return x * (2 - 1 / norm) / norm


def inv_contract(x: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point 3"]:
    """The inverse of `contract`, up to a distance of a thousand."""
    norm = x.abs().amax(dim=-1, keepdim=True).clamp_min(1)
    return x / (norm * (2 - norm).clamp_min(1e-3))


def contract_1d(t: Tensor) -> Tensor:
    """The contraction of a signed distance: t within [-1, 1] stays, infinity comes to 2."""
    size = t.abs()
    return torch.where(size <= 1, t, t.sign() * (2 - 1 / size.clamp_min(1)))


def inv_contract_1d(s: Tensor) -> Tensor:
    """The inverse of `contract_1d`, up to a distance of a thousand."""
    size = s.abs()
    return torch.where(size <= 1, s, s.sign() / (2 - size).clamp_min(1e-3))
