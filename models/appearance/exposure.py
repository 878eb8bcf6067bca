"""Each photo's own exposure and colour, for captures whose light changes.

After rendering, hence for any field: a gain and an offset per photo and colour channel. NeRF in
the Wild (Martin-Brualla et al., 2021, section 4.1) hands the network a learned vector per photo
instead; a gain and an offset are six numbers that can be read, and cannot repaint the scene.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# The gains' learning rate as a multiple of the field's: half a stop of light (a log gain of 0.35)
# takes Adam under a hundred steps then. Offsets have the field's own rate: while the field is
# still grey a gain and an offset look alike, and what a fast offset takes then it gives back
# slowly (docs/ablations.md).
_GAIN_RATE = 10.0
# Decay of changes that nobody asked for: a phone's, which are small.
SMALL_CHANGE_DECAY = 2.0
# Weight of the identity in the fit, in pixels of unit brightness: next to nothing beside a photo's
# thousands of pixels, all there is where none are left.
_IDENTITY_PIXELS = 0.1


class Appearance(torch.nn.Module):
    """A log gain and an offset for each training photo, all zero at the start.

    They are free up to a gauge: the field's colours times a, plus b, with every photo's gain
    divided by a and its offset less b times the gain, show the same photos. Left free, the pair
    drifts during training, and the field alone, which novel views show, would have any brightness
    at all. So the means over the photos are subtracted wherever the parameters are used: the log
    gains and the offsets then sum to zero, which leaves a = 1 and b = 0 only, and the field itself
    is the mean appearance.

    What is left is nearly a gauge too: photos beside one another see the same things from nearly
    the same side, so that a tone which changes slowly along the way of the camera can as well be
    the things' own, seen from there. Left free, it differs from seed to seed. Hence `decay`,
    where exposures are expected to change little.

    Args:
        photos: how many; Rays.camera_indices count within the training split.
        decay_rate: share by which all decay after a step, for each unit of the gains' learning
            rate.
    """

    def __init__(self, photos: int, decay_rate: float = 0.0) -> None:
        super().__init__()
        self.decay_rate = decay_rate
        self.log_gain = torch.nn.Parameter(torch.zeros(photos, 3))
        self.offset = torch.nn.Parameter(torch.zeros(photos, 3))

    @staticmethod
    def of_scene(photos: int, asked: bool | None, by_default: bool) -> Appearance | None:
        """Exposures that were asked for; or, by default, a phone's small changes.

        Args:
            asked: --encode_appearance.
            by_default: where it was not given.
        """
        if asked:
            return Appearance(photos)
        if asked is None and by_default:
            return Appearance(photos, SMALL_CHANGE_DECAY)
        return None

    def centred(self) -> tuple[Float[Tensor, "photo 3"], Float[Tensor, "photo 3"]]:
        """The log gains and the offsets as they are applied, of mean zero over the photos."""
        return self.log_gain - self.log_gain.mean(dim=0), self.offset - self.offset.mean(dim=0)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The parameters with their learning rates, for an optimizer; lr is the field's."""
        return [
            {"name": "log_gain", "params": [self.log_gain], "lr": _GAIN_RATE * lr},
            {"name": "offset", "params": [self.offset], "lr": lr},
        ]

    @torch.no_grad()
    def decay(self, rate: float) -> None:
        """Decoupled weight decay (Loshchilov and Hutter 2019), after a step of the optimizer.

        Weak where the photos tell an exposure, all that matters where they do not.

        Args:
            rate: the gains' learning rate now.
        """
        for change in (self.log_gain, self.offset):
            change.mul_(1 - self.decay_rate * rate)

    def forward(
        self,
        rgb: Float[Tensor, "ray 3"],
        opacity: Float[Tensor, "ray"],
        image: Int[Tensor, "ray"],
        background: float | Float[Tensor, "ray 3"],
    ) -> Float[Tensor, "ray 3"]:
        """Rendered colours as training photo `image` of each ray would show them."""
        log_gain, offset = self.centred()
        return expose(rgb, opacity, background, log_gain[image].exp(), offset[image])


def expose(
    rgb: Float[Tensor, "*pixel 3"],
    opacity: Float[Tensor, "*pixel"],
    background: float | Float[Tensor, "*pixel 3"],
    gain: Float[Tensor, "*#pixel 3"],
    offset: Float[Tensor, "*#pixel 3"],
) -> Float[Tensor, "*pixel 3"]:
    """gain * rgb + offset for what is in the scene, and the background as it is.

    A white background is no part of a photo: the loaders put transparent pixels on it after the
    camera had exposed the rest, so that it is equally white in all photos. Where a ray is opaque
    (everywhere, in photos without transparency) this is gain * rgb + offset.
    """
    backdrop = background * (1 - opacity[..., None])
    return gain * (rgb - backdrop) + offset * opacity[..., None] + backdrop


def fit_exposure(
    rgb: Float[Tensor, "pixel 3"],
    photo: Float[Tensor, "pixel 3"],
    opacity: Float[Tensor, "pixel"],
    background: float,
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """The gain and offset per channel with which `expose` comes nearest to the photo.

    Least squares in closed form, drawn a little towards gain 1 and offset 0, where it stays if
    the pixels tell nothing: there are none, or all have one colour.
    """
    opacity = opacity.double()[:, None].expand(-1, 3)
    backdrop = background * (1 - opacity)
    seen, wanted = rgb.double() - backdrop, photo.double() - backdrop
    # The normal equations of the residual that the identity leaves, per channel.
    rest = wanted - seen
    a = (seen * seen).sum(dim=0) + _IDENTITY_PIXELS
    b = (seen * opacity).sum(dim=0)
    c = (opacity * opacity).sum(dim=0) + _IDENTITY_PIXELS
    u, v = (seen * rest).sum(dim=0), (opacity * rest).sum(dim=0)
    determinant = a * c - b * b
    gain = 1 + (c * u - b * v) / determinant
    offset = (a * v - b * u) / determinant
    return gain.to(rgb.dtype), offset.to(rgb.dtype)


def match_halves(
    rgb: Float[Tensor, "height width 3"],
    photo: Float[Tensor, "height width 3"],
    opacity: Float[Tensor, "height width"],
    background: float,
    valid: Bool[Tensor, "height width"] | None = None,
) -> tuple[
    Float[Tensor, "height right 3"],
    Float[Tensor, "height right 3"],
    Bool[Tensor, "height right"] | None,
]:
    """The right half of a held-out view, exposed as its photo's left half was, and the photo's.

    The protocol of NeRF in the Wild (section 5): nobody knows a held-out photo's appearance, so it
    is fitted on one half and measured on the other. Pixels that are not valid are left out of the
    fit; their mask's right half comes back for the metrics.
    """
    middle = rgb.shape[1] // 2
    counted = torch.ones_like(opacity, dtype=torch.bool) if valid is None else valid
    left = counted[:, :middle]
    gain, offset = fit_exposure(
        rgb[:, :middle][left], photo[:, :middle][left], opacity[:, :middle][left], background
    )
    matched = expose(rgb[:, middle:], opacity[:, middle:], background, gain, offset)
    return matched, photo[:, middle:], None if valid is None else valid[:, middle:]
