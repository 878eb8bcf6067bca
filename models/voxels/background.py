"""Background spherical harmonics: what an unbounded scene looks like where rays meet nothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from geometry.rays import Rays
from geometry.region import Region

from .shader import harmonics

# Ridge weight per ray; pulls unobserved directions to the mean colour.
_RIDGE = 0.01
# With a smaller share of rays than this beside the subject, all rays are fitted.
_MIN_SHARE = 0.01


def fit_background(
    rays: Rays, rgbs: Float[Tensor, "ray 3"], region: Region
) -> Float[Tensor, "9 3"]:
    """Coefficients of spherical harmonics up to degree 2, fitted to the colours of pixels.

    Where the region is unbounded, only rays that pass beside its inner cube, which holds the
    subject, are fitted: the background has the colours of a floor, a wall or the sky. Least
    squares with a ridge, in closed form.

    Args:
        rays, rgbs: random training pixels.
    """
    directions, colours = rays.viewdirs.double(), rgbs.double()
    if region.unbounded:
        to_center = directions.new_tensor(region.center) - rays.origins
        along = (to_center * directions).sum(dim=1, keepdim=True)
        beside = (to_center - along * directions).norm(dim=1) > region.half[0]
        if int(beside.sum()) > _MIN_SHARE * len(beside):
            directions, colours = directions[beside], colours[beside]
    mean = colours.mean(dim=0)
    terms = _terms(directions)
    identity = torch.eye(terms.shape[1], dtype=terms.dtype, device=terms.device)
    ridge = _RIDGE * len(terms) * identity
    coefficients = torch.linalg.solve(terms.T @ terms + ridge, terms.T @ (colours - mean))
    coefficients[0] += mean
    return coefficients.float()


def eval_background(
    coefficients: Float[Tensor, "9 3"], directions: Float[Tensor, "ray 3"]
) -> Float[Tensor, "ray 3"]:
    """The background's colours in [0, 1] along unit directions."""
    return (_terms(directions) @ coefficients).clamp_(0, 1)


def _terms(directions: Float[Tensor, "ray 3"]) -> Float[Tensor, "ray 9"]:
    return F.pad(harmonics(directions), (1, 0), value=1.0)
