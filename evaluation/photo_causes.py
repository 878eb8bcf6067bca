"""What is wrong with a training photo, told by what the trained field shows from its camera.

The field has seen the other photos too, so that what they agree on is in its rendering. A cause is
named where it explains most of what the photo is worse by than usual ones: after an exposure or a
small shift of the picture, or without one part of it, photo and rendering agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float32

from models.appearance.exposure import expose, fit_exposure

UNCLEAR = "cause not clear"
BLURRED = "blurred"
# Sharpness, as a share of the usual photo's and of its rendering's, under which a photo is blurred.
# A rendering is softer than a sharp photo, but has detail that a blurred one has not.
SOFT, _SOFTER_THAN_RENDERED = 0.5, 0.6
# Share of its error that a photo has more than usual ones, from where on it is worse: 2 dB.
_EXCESS = 0.37
# Share of the excess that a cause must explain.
_EXPLAINED = 0.5
# What moved covers this share of the picture at most.
_PART = 0.15
# Share of its error that is left of the mean over a few pixels, where other things are to be seen.
_COARSE = 0.4
# Shifts that are looked for, as a share of the longer side, and the side in pixels for it.
_REACH, _SEARCH_SIDE = 0.12, 40
# What must be left of a picture after a shift.
_OVERLAP = 0.6

Picture = Float32[np.ndarray, "height width 3"]
Grey = Float32[np.ndarray, "height width"]


@dataclass(frozen=True)
class Pair:
    """A photo and its camera's rendering, small and of one size.

    Attributes:
        photo, rendering: colours in [0, 1].
        opacity: of the rendering.
        counted: False where a mask leaves a pixel out.
    """

    photo: Picture
    rendering: Picture
    opacity: Float32[np.ndarray, "height width"]
    counted: Bool[np.ndarray, "height width"]

    @property
    def error(self) -> Float32[np.ndarray, "height width"]:
        """Squared error of each pixel, 0 where it does not count."""
        return _error(self.photo, self.rendering) * self.counted

    @property
    def loss(self) -> float:
        """Mean squared error of the pixels that count."""
        return float(self.error.sum() / self.counted.sum())


def cause(pair: Pair, usual: Sequence[Pair], background: float) -> str | None:
    """What is wrong with a photo, in words; None where it is as good as the usual ones.

    Args:
        usual: pairs of photos that are reproduced as well as most.
        background: grey level of the scene.
    """
    if is_blurred(pair, usual):
        return BLURRED
    excess = pair.loss - float(np.median([other.loss for other in usual]))
    if excess < _EXCESS * pair.loss:
        return None
    left, words = min(_exposed(pair, background), _shifted(pair), _without_a_part(pair))
    return words if pair.loss - left > _EXPLAINED * excess else UNCLEAR


def is_blurred(pair: Pair, usual: Sequence[Pair]) -> bool:
    """Whether a photo is softer than the usual ones, and than its own rendering."""
    own = sharpness(pair.photo, pair.counted)
    others = float(np.median([sharpness(other.photo, other.counted) for other in usual]))
    rendered = sharpness(pair.rendering, pair.counted)
    return own < SOFT * others and own < _SOFTER_THAN_RENDERED * rendered


def sharpness(image: Picture, counted: Bool[np.ndarray, "height width"]) -> float:
    """Variance of the Laplacian; noise of a grey level or two is kept out."""
    smooth = cv2.GaussianBlur(_grey(image), (0, 0), 0.7)
    return float(cv2.Laplacian(smooth, cv2.CV_32F)[counted].var() + 3e-5)


def _exposed(pair: Pair, background: float) -> tuple[float, str]:
    """What is left of the loss after another exposure, and words for it."""
    photo, rendering = torch.from_numpy(pair.photo), torch.from_numpy(pair.rendering)
    opacity, counted = torch.from_numpy(pair.opacity), torch.from_numpy(pair.counted)
    gain, offset = fit_exposure(rendering[counted], photo[counted], opacity[counted], background)
    exposed = expose(rendering, opacity, background, gain, offset)
    left = float((exposed - photo)[counted].square().mean())
    difference = float((photo - rendering)[counted].mean())
    how = "brighter" if difference > 0 else "darker"
    return left, f"otherwise exposed, {how}"


def _shifted(pair: Pair) -> tuple[float, str]:
    """What is left of the loss after the best small shift or affine warp of the rendering.

    An image alignment of enhanced correlation (Evangelidis and Psarakis 2008), from where the
    picture stands and from the best shift of all small ones, as it finds the nearest optimum alone.
    """
    photo, rendering = _grey(pair.photo), _grey(pair.rendering)
    height, width = photo.shape
    everywhere = np.ones((height, width), dtype=np.uint8)
    best, moved = 1.0, 0.0
    for start in {(0.0, 0.0), _best_shift(photo, rendering)}:
        warp: np.ndarray = np.array([[1, 0, start[0]], [0, 1, start[1]]], dtype=np.float32)
        for motion, window in ((cv2.MOTION_TRANSLATION, 9), (cv2.MOTION_AFFINE, 5)):
            try:
                warp = cv2.findTransformECC(
                    photo,
                    rendering,
                    warp,
                    motion,
                    (3, 40, 1e-4),
                    pair.counted.astype(np.uint8),
                    window,
                )[1]
            except cv2.error:  # it did not converge
                continue
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            image = cv2.warpAffine(pair.rendering, warp, (width, height), flags=flags)
            inside = cv2.warpAffine(everywhere, warp, (width, height), flags=flags) > 0
            seen = inside & pair.counted
            if seen.sum() < _OVERLAP * pair.counted.sum():
                continue
            share = _error(pair.photo, image)[seen].sum() / max(pair.error[seen].sum(), 1e-9)
            if share < best:
                x, y = np.meshgrid(np.arange(width), np.arange(height))
                way = np.stack([x, y, np.ones_like(x)], axis=-1) @ warp.T - np.stack([x, y], -1)
                best = float(share)
                moved = float(np.median(np.linalg.norm(way, axis=-1)) / max(height, width))
    return best * pair.loss, f"misplaced by {100 * moved:.0f} % of the picture"


def _best_shift(photo: Grey, rendering: Grey) -> tuple[float, float]:
    """By how many pixels the rendering lies beside the photo, by trying all small shifts."""
    factor = min(1.0, _SEARCH_SIDE / max(photo.shape))
    size = [max(8, round(side * factor)) for side in photo.shape[::-1]]
    a, b = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (photo, rendering))
    (height, width), reach = a.shape, round(_REACH * max(size))
    tried = []
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            here = a[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
            there = b[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
            tried.append((float(np.square(here - there).mean()), dx, dy))
    _, dx, dy = min(tried)
    return dx * photo.shape[1] / width, dy * photo.shape[0] / height


def _without_a_part(pair: Pair) -> tuple[float, str]:
    """What is left of the loss without the part of the picture that has most of it."""
    error = pair.error
    height, width = error.shape
    side = max(3, round(max(height, width) / 25))
    smooth = cv2.blur(error, (side, side))
    large = (smooth > 0.25 * smooth.max()).astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(large)
    sums = [float(error[labels == label].sum()) for label in range(1, count)]
    x, y, w, h, _ = boxes[1 + int(np.argmax(sums))] if sums else (0, 0, width, height, 0)
    if w * h > _PART * error.size:
        return pair.loss, UNCLEAR
    outside = pair.counted.copy()
    outside[y : y + h, x : x + w] = False
    down = ("top", "middle", "bottom")[min(2, int(3 * (y + h / 2) / height))]
    across = ("left", "centre", "right")[min(2, int(3 * (x + w / 2) / width))]
    where = "centre" if (down, across) == ("middle", "centre") else f"{down} {across}"
    left = float(error[outside].mean()) if outside.any() else pair.loss
    # Detail that the field does not resolve is right in the mean over a few pixels.
    coarse = np.square(cv2.blur(pair.photo - pair.rendering, (side, side))).mean(axis=-1)
    part = ~outside & pair.counted
    if coarse[part].sum() < _COARSE * error[part].sum():
        return left, f"finer detail than the field shows, {where}"
    return left, f"one part differs, {where} (moved, reflected or in few photos)"


def _error(a: Picture, b: Picture) -> Float32[np.ndarray, "height width"]:
    return np.square(a - b).mean(axis=-1)


def _grey(image: Picture) -> Grey:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
