"""The exposure to expect of a view, from those of the training photos near it.

A phone exposes for what it sees, so that photos from nearly the same place are exposed nearly
alike. And a tone that changes slowly along the camera's way may have become the photos' exposures
or the things' colours (see appearance.Appearance): with the exposures of its neighbours a view
gets back what went to them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from geometry.cameras import Cameras
from models.appearance.exposure import Appearance, expose
from models.rendering.output import RenderOutput

# Of squared distances, so that cameras in one place divide nothing by zero.
_LEAST = 1e-6


@dataclass(frozen=True)
class NearbyExposure:
    """Shows views as photos from there would be exposed.

    Args:
        photos: the training photos' cameras,
        appearance: and their exposures.
    """

    photos: Cameras
    appearance: Appearance

    def __call__(
        self, picture: RenderOutput, c2w: Float[Tensor, "3 4"], background: float
    ) -> RenderOutput:
        """The picture that a camera there has rendered, exposed; background: of the scene.

        Differentiable with respect to the picture alone.
        """
        log_gain, offset = (
            expected(of_photos.detach().cpu(), self.photos.c2w.cpu(), c2w[None].detach().cpu()).to(
                picture.rgb
            )
            for of_photos in self.appearance.centred()
        )
        rgb = expose(picture.rgb, picture.opacity, background, log_gain.exp(), offset)
        return replace(picture, rgb=rgb)


def expected(
    values: Float[Tensor, "photo value"],
    photos: Float[Tensor, "photo 3 4"],
    views: Float[Tensor, "view 3 4"],
) -> Float[Tensor, "view value"]:
    """What the values of photos, of mean zero, lead one to expect at other cameras.

    A mean of the photos' values, weighted by the inverse of the distance to the fourth power
    (Shepard 1968), drawn towards zero as far as the photos' own values are not told by their
    neighbours': where light changes at random, nothing is expected. A view from a training
    photo's camera gets the photo's own.

    Args:
        values: one row for each photo.
        photos, views: camera-to-world matrices.
    """
    radius = (photos[:, :, 3] - photos[:, :, 3].mean(dim=0)).norm(dim=1).mean()
    between = _distances(photos, photos, radius).fill_diagonal_(torch.inf)
    told = _means(values, between)
    # Least squares of the photos' values on what the others tell of them.
    trust = ((told * values).sum() / told.square().sum().clamp_min(_LEAST**2)).clamp(0, 1)
    distances = _distances(views, photos, radius)
    own = distances.amin(dim=1, keepdim=True) == 0
    return _means(values, distances) * torch.where(own, 1.0, trust)


def _distances(
    views: Float[Tensor, "view 3 4"], photos: Float[Tensor, "photo 3 4"], radius: Tensor
) -> Float[Tensor, "view photo"]:
    """Squared, of places (in radii of the photos' places) and of viewing directions together."""
    places, axes = (views[:, None, :, i] - photos[None, :, :, i] for i in (3, 2))
    return places.square().sum(-1) / radius.square().clamp_min(_LEAST) + axes.square().sum(-1)


def _means(
    values: Float[Tensor, "photo value"], distances: Float[Tensor, "view photo"]
) -> Float[Tensor, "view value"]:
    """Of the photos' values, by the fourth power of the inverse distance; 0 where none is near."""
    weights = distances.clamp_min(_LEAST).square().reciprocal()
    return weights @ values / weights.sum(dim=1, keepdim=True).clamp_min(1e-12)
