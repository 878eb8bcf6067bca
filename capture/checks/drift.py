"""Exposure and white balance of each photo, from points that several photos show.

The same point has the same colour in all photos of a steady camera; what differs between the
photos' means is the camera's doing, and comes out of training as fog and coloured noise.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pycolmap
from jaxtyping import Float, UInt8

from capture.checks.measure import stops
from datasets.sparse.model import registered


def color_drift(
    model: pycolmap.Reconstruction, read: Callable[[str], UInt8[np.ndarray, "height width 3"]]
) -> dict[str, Float[np.ndarray, "3"]]:
    """Per photo, its red, green and blue in stops against the others' at the same points.

    The median over the points of (the photo's colour - the point's mean colour); NaN for a
    photo with under 10 points.
    """
    images = registered(model)
    index, colors, owner = [], [], []
    for number, image in enumerate(images):
        observed = image.get_observation_points2D()
        if len(observed) < 10:
            continue
        photo = cv2.blur(read(image.name), (7, 7))
        xy = np.array([point.xy for point in observed]).astype(int)
        xy = xy.clip(0, [photo.shape[1] - 1, photo.shape[0] - 1])
        colors.append(photo[xy[:, 1], xy[:, 0]])
        index.append(np.array([point.point3D_id for point in observed]))
        owner.append(np.full(len(observed), number))
    drift = {image.name: np.full(3, np.nan) for image in images}
    if not colors:
        return drift
    raw = np.concatenate(colors)
    usable = ((raw > 8) & (raw < 250)).all(axis=1)  # a clipped colour says nothing
    values, owners = stops(raw[usable]), np.concatenate(owner)[usable]
    _, group, count = np.unique(
        np.concatenate(index)[usable], return_inverse=True, return_counts=True
    )
    mean = np.stack([np.bincount(group, values[:, c]) / count for c in range(3)], axis=1)
    difference = values - mean[group]
    for number, image in enumerate(images):
        own = difference[(owners == number) & (count[group] > 1)]
        if len(own) >= 10:
            drift[image.name] = np.median(own, axis=0)
    return drift
