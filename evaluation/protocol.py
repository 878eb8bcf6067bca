"""How views are measured against their photos, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from datasets.photos import Photos
from datasets.scene import Scene
from models.appearance.exposure import match_halves

from .metrics import psnr, ssim
from .perceptual import Lpips
from .pictures import to_8_bit
from .published import published_psnr
from .views import View

PROTOCOL = "PSNR and SSIM of {images}, mean over views; SSIM: 11x11 Gaussian window, sigma 1.5"
SAVED = "the saved 8-bit images"
EXPOSED = "exposed as the training photos nearby lead to expect"
FITTED = (
    "each camera first fitted to its own photo with the field fixed (training refined poses: "
    "compare such figures with their like only)"
)
RIGHT_HALVES = (
    "8-bit right halves, exposed (a gain and an offset per channel) as fitted on the photo's left "
    "half (NeRF in the Wild; the saved images show the mean appearance)"
)
CHOSEN_ON_TEST = (
    "validation looked at these photos in training, and may have chosen the checkpoint by them"
)

Image = UInt8[np.ndarray, "height width 3"]
Mask = Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class Protocol:
    """By which rules views are measured.

    Attributes:
        right_halves: of a run with --encode_appearance: exposure is fitted on the left half.
        exposed: the views are exposed as the training photos near them.
        fitted: of a run with --refine_poses: cameras are fitted to their photos.
    """

    right_halves: bool = False
    exposed: bool = False
    fitted: bool = False

    @property
    def images(self) -> str:
        """What is measured, in words."""
        images = f"{SAVED}, {EXPOSED}" if self.exposed else SAVED
        if self.right_halves:
            images = RIGHT_HALVES
        return f"{images}, {FITTED}" if self.fitted else images


def measure_view(
    view: View,
    photo: Image,
    valid: Mask | None,
    background: float,
    protocol: Protocol,
    lpips: Lpips | None = None,
) -> dict[str, float]:
    """PSNR in dB and SSIM of one view, and LPIPS where it is given.

    Args:
        photo: what it should show.
        valid: False where a mask leaves a pixel out.
        background: grey level of the scene.
    """
    image = view.image
    if protocol.right_halves:
        image, photo, valid = _right_half(view, photo, valid, background)
    row = {
        "psnr": round(psnr(image, photo, valid), 4),
        "ssim": round(ssim(image, photo, valid), 5),
    }
    if lpips is not None:
        row["lpips"] = round(lpips(image, photo, valid), 5)
    return row


def measure_split(
    scene: Scene,
    split: str,
    views: list[View],
    photos: Photos,
    protocol: Protocol,
    lpips: Lpips | None = None,
) -> list[dict[str, Any]]:
    """Name and figures of each view of a split, in its order."""
    rows = []
    for number, (index, view) in enumerate(zip(scene.splits[split], views, strict=True)):
        mask = photos.mask(number)
        valid = None if mask is None else mask.numpy()
        photo = photos.image(number).numpy()
        frame = scene.frames[index]
        measured = measure_view(view, photo, valid, scene.background, protocol, lpips)
        rows.append({"name": frame.name if frame else str(number), **measured})
    return rows


def mean_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The means over the views."""
    digits = {"psnr": 4, "ssim": 5, "lpips": 5}
    return {
        name: round(float(np.mean([row[name] for row in rows])), digits[name])
        for name in digits
        if name in rows[0]
    }


def describe(
    scene: Scene,
    split: str,
    name: str,
    views: list[View],
    rows: list[dict[str, Any]],
    protocol: Protocol,
    masked: bool,
    dataset_name: str,
    holdout: int,
) -> dict[str, Any]:
    """metrics.json: the figures, by which protocol, and published ones beside them.

    Args:
        name: of the scene.
        masked: masks leave pixels out.
        dataset_name, holdout: of the scene's files, for the published figures' own setting.
    """
    sizes = {view.image.shape[1::-1] for view in views}
    pixels = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
    text = (
        f"{split} split of {name}, {len(views)} views of {pixels}, background "
        f"{scene.background:g}; {PROTOCOL.format(images=protocol.images)}"
    )
    if "lpips" in rows[0]:
        text += "; LPIPS with VGG's features"
    if masked:
        text += "; pixels under the masks are left out"
    report: dict[str, Any] = {"mean": mean_of(rows), "views": rows, "protocol": text}
    if split == "test":
        report["val_is_test"] = scene.splits.get("val") == scene.splits["test"]
        if report["val_is_test"]:
            report["protocol"] += f"; {CHOSEN_ON_TEST}"
    published = published_psnr(dataset_name, name, split, min(sizes), len(views), holdout)
    if published is not None and not protocol.right_halves:  # another protocol
        if protocol.exposed:
            published["differs"].append(EXPOSED)
        if protocol.fitted:
            published["differs"].append(FITTED)
        report["published"] = published
    return report


def _right_half(
    view: View, photo: Image, valid: Mask | None, background: float
) -> tuple[
    UInt8[np.ndarray, "height half 3"],
    UInt8[np.ndarray, "height half 3"],
    Bool[np.ndarray, "height half"] | None,
]:
    """The view, exposed as its photo is, the photo, and its mask: the right half of each."""
    mask = None if valid is None else torch.from_numpy(valid)
    image, seen = (torch.from_numpy(x).float() / 255 for x in (view.image, photo))
    opacity = torch.from_numpy(view.opacity).float()
    matched, _, mask = match_halves(image, seen, opacity, background, mask)
    height, width = matched.shape[:2]
    return (
        to_8_bit(matched.flatten(0, 1), (width, height)),
        photo[:, -width:],
        None if mask is None else mask.numpy(),
    )
