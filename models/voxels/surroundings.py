"""What a place looks like where no photo tells: by direction, as beside its subject."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from datasets.loader import RayBatch
from datasets.region import Region

from .shader import harmonics

# Draws colours to their mean where directions tell little, such as beyond those of the photos;
# in rays of harmonics of size one, for each ray that there is.
_FLAT = 0.01
# Fewer rays, of a batch, say nothing about a whole place.
_ENOUGH = 0.01


def surroundings(some: RayBatch, region: Region) -> Float[Tensor, "9 3"]:
    """Harmonics of the direction, up to degree 2, that come nearest to the colours of pixels.

    Of those beside the subject alone, where there is a subject and something beside it: what is
    behind everything has the colours of a floor, a wall or the sky. Least squares in closed form.

    Args:
        some: of the training photos' rays, in the scene's coordinates.
        region: the subject is within its inner cube, where it is unbounded.
    """
    directions, rgbs = some.rays.viewdirs.double(), some.rgbs.double()
    if region.unbounded:
        middle = directions.new_tensor(region.center) - some.rays.origins
        along = (middle * directions).sum(dim=1, keepdim=True)
        beside = (middle - along * directions).norm(dim=1) > region.half[0]
        if int(beside.sum()) > _ENOUGH * len(beside):
            directions, rgbs = directions[beside], rgbs[beside]
    mean = rgbs.mean(dim=0)
    terms = _terms(directions)
    flat = _FLAT * len(terms) * torch.eye(terms.shape[1], dtype=terms.dtype, device=terms.device)
    coefficients = torch.linalg.solve(terms.T @ terms + flat, terms.T @ (rgbs - mean))
    coefficients[0] += mean
    return coefficients.float()


def behind(
    coefficients: Float[Tensor, "9 3"], directions: Float[Tensor, "ray 3"]
) -> Float[Tensor, "ray 3"]:
    """The colours of `surroundings` in some directions, in [0, 1]."""
    return (_terms(directions) @ coefficients).clamp_(0, 1)


def _terms(directions: Float[Tensor, "ray 3"]) -> Float[Tensor, "ray 9"]:
    return F.pad(harmonics(directions), (1, 0), value=1.0)
