"""Corner values in 8 bits, with a range for each channel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from .corners import Corners

# Below the lower end a cell is clear, above the upper one opaque; the steps between are of the
# density before its activation, whose exponential the density is where it is thin.
DENSITY_RANGE = (-8.0, 24.0)
# Of a feature's values, so many lie outside its range at either end: corners that no photo shows
# have values of any size.
_OUTSIDE = 1e-4
_MOST_SORTED = 1 << 20


@dataclass(frozen=True)
class Codes:
    """Values as bytes: value = low + (high - low) * code / 255.

    Attributes:
        planes: (channel, corner), density first.
        low, high: of each channel.
        levels: that features have, evenly from 0 to 255; density has all 256.
    """

    planes: UInt8[Tensor, "channel corner"]
    low: Float[Tensor, "channel"]
    high: Float[Tensor, "channel"]
    levels: int = 256

    def values(self) -> Float[Tensor, "channel corner"]:
        span = (self.high - self.low) / 255
        return self.low[:, None] + span[:, None] * self.planes

    def numbers(self) -> UInt8[Tensor, "channel corner"]:
        """The levels' numbers, from 0 on, in place of the codes."""
        numbers = self.planes.clone()
        numbers[1:] = (self.planes[1:].float() * ((self.levels - 1) / 255)).round().byte()
        return numbers


def quantise(corners: Corners) -> Codes:
    """The corners' values as bytes, density first."""
    features = corners.features
    seen = features[corners.density > 2.0]  # others have next to no weight
    sample = (seen if len(seen) else features)[:: 1 + len(features) // _MOST_SORTED]
    shares = sample.new_tensor([_OUTSIDE, 1 - _OUTSIDE])
    low, high = torch.stack([torch.quantile(c, shares) for c in sample.unbind(1)], dim=1)
    ends = corners.density.aminmax()
    low = torch.cat([ends.min[None].clamp(*DENSITY_RANGE), low])
    high = torch.cat([ends.max[None].clamp(*DENSITY_RANGE), high])
    high = torch.maximum(high, low + 1e-6)
    values = torch.cat([corners.density[None], features.t()])
    share = (values - low[:, None]) / (high - low)[:, None]
    planes = (255 * share.clamp(0, 1)).round().to(torch.uint8)
    return Codes(planes, low, high)


def dequantised(corners: Corners, codes: Codes) -> Corners:
    """The corners with the values that their bytes stand for."""
    values = codes.values()
    return replace(corners, density=values[0], features=values[1:].t().contiguous())


def coarser(codes: Codes, levels: int) -> Codes:
    """The same with fewer levels of the features, which then take fewer bytes when compressed."""
    if levels >= 256:
        return codes
    # Even in the range: both its ends are levels.
    planes = codes.planes.clone()
    features = planes[1:].float()
    planes[1:] = (255 / (levels - 1) * (features * (levels - 1) / 255).round()).round().byte()
    return replace(codes, planes=planes, levels=levels)
