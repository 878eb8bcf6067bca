"""The photos' exposures, for a page that tells what to expect at any view."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from models.appearance.nearby import NearbyExposure

_LEAST = 1e-6


@torch.no_grad()
def describe_exposure(exposure: NearbyExposure) -> dict[str, Any]:
    """Places and backward axes of the photos' cameras, their log gains and offsets, and what
    models.appearance.nearby.expected has of all photos together.

    Values are `photos` (photo, 6), `logGain` and `offset` (photo, 3); `radius2`, the square of the
    places' radius; `trust`, the factor of either mean.
    """
    poses = exposure.photos.c2w.detach().cpu()
    log_gain, offset = (values.cpu() for values in exposure.appearance.centred())
    places, axes = poses[:, :, 3], poses[:, :, 2]
    radius = float((places - places.mean(dim=0)).norm(dim=1).mean())
    radius2 = max(radius**2, _LEAST)
    squared = torch.cdist(places, places).square() / radius2 + torch.cdist(axes, axes).square()
    return {
        "photos": torch.cat([places, axes], dim=1).tolist(),
        "logGain": log_gain.tolist(),
        "offset": offset.tolist(),
        "radius2": radius2,
        "trust": [_trust(values, squared) for values in (log_gain, offset)],
    }


def _trust(values: Float[Tensor, "photo 3"], squared: Float[Tensor, "photo photo"]) -> float:
    """How far the photos' values are told by their neighbours', from 0 to 1."""
    weights = squared.clamp_min(_LEAST).square().reciprocal().fill_diagonal_(0.0)
    told = weights @ values / weights.sum(dim=1, keepdim=True).clamp_min(1e-12)
    share = (told * values).sum() / told.square().sum().clamp_min(_LEAST**2)
    return float(share.clamp(0, 1))
