"""How well each training photo is reproduced, and what is wrong with those that stand out."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

from evaluation.photo_causes import BLURRED, SOFT, UNCLEAR, Pair, cause, is_blurred, sharpness
from geometry.rays import image_rays

from ..distributed.processes import rank
from ..system import RadianceSystem

WORST = 3  # photos that are named
_WORSE = 3.0  # dB under the median, from where on a photo stands out
_USUAL = 3  # photos that others are compared with
# Pixels along the longer side of what is rendered. Rendering takes so many seconds at most; where
# a side would become too small for it, nothing is told.
_SIDE, _LEAST_SIDE, _SECONDS = 128, 40, 2.0


def photo_table(system: RadianceSystem, psnr: list[float | None]) -> list[dict[str, Any]]:
    """Name, PSNR in dB and cause, where it has been told, of each training photo; the worst first.

    Args:
        psnr: of the training photos, None where it is not known.
    """
    frames = [system.scene.frames[index] for index in system.scene.splits["train"]]
    known = {number: value for number, value in enumerate(psnr) if value is not None}
    causes: dict[int, str] = {}
    if rank() == 0 and len(known) > _USUAL:
        try:
            causes = tell_causes(system, known)
        except Exception as error:  # the training is done; a remark on its photos must not fail it
            print(f"what is wrong with the worst photos cannot be told ({error!r})")
    rows = []
    for number in sorted(known, key=known.__getitem__):
        frame = frames[number]
        row = {"name": frame.name if frame else str(number), "psnr": round(known[number], 2)}
        rows.append(row | ({"cause": causes[number]} if number in causes else {}))
    return rows


def summary(rows: list[dict[str, Any]]) -> str:
    """The table in a line: the median, the worst, and what else is blurred."""
    middle = median(row["psnr"] for row in rows)
    worst = "; ".join(
        f"{row['name']} {row['psnr']:.1f}" + (f", {row['cause']}" if "cause" in row else "")
        for row in rows[:WORST]
    )
    blurred = [row["name"] for row in rows[WORST:] if row.get("cause") == BLURRED]
    line = f"training photos: PSNR {middle:.1f} dB in the middle; the worst: {worst}"
    return f"{line}; blurred too: {', '.join(blurred)}" if blurred else line


def tell_causes(system: RadianceSystem, psnr: dict[int, float]) -> dict[int, str]:
    """What is wrong with photos by their numbers, of those that stand out.

    These are the worst by PSNR, and the softest: a blurred photo is as easily reproduced as any.
    """
    order = sorted(psnr, key=psnr.__getitem__)
    middle = median(psnr.values())
    worst = [number for number in order[:WORST] if psnr[number] < middle - _WORSE]
    soft = [number for number in _softest(system, order) if number not in worst]
    center = len(order) // 2 - _USUAL // 2
    usual = [n for n in order[center : center + _USUAL] if n not in worst and n not in soft]
    if not usual or not (worst or soft):
        return {}
    side = _affordable_side(system, len(worst) + len(soft) + len(usual))
    if side < _LEAST_SIDE:
        return {}
    others = [_pair(system, number, side) for number in usual]
    background = system.scene.background
    told = {n: cause(_pair(system, n, side), others, background) or UNCLEAR for n in worst}
    return told | {n: BLURRED for n in soft if is_blurred(_pair(system, n, side), others)}


def _softest(system: RadianceSystem, numbers: list[int]) -> list[int]:
    """Photos of little sharpness among the others, the softest first."""
    values = {n: sharpness(*_small_photo(system, n, _SIDE)) for n in numbers}
    limit = SOFT * median(values.values())
    return [n for n in sorted(values, key=values.__getitem__) if values[n] < limit][:WORST]


def _affordable_side(system: RadianceSystem, views: int) -> int:
    """Pixels along the longer side of views that are rendered in time."""
    camera = system.train_cameras[0].resized(16, 16).to(system.device)
    rays = image_rays(camera, system.scene.bounds, 0)
    render = system.spec.image_renderer(system.renderer)
    start = time.thread_time()  # what else the machine does decides nothing
    render(rays).rgb.cpu()
    pixels = _SECONDS / views * len(rays) / max(time.thread_time() - start, 1e-6)
    return min(_SIDE, int(pixels**0.5))


def _pair(system: RadianceSystem, number: int, side: int) -> Pair:
    """A photo and its rendering, exposed as it is."""
    photo, counted = _small_photo(system, number, side)
    height, width = counted.shape
    cameras = system.train_cameras.to(system.device)
    if system.refinement is not None:
        cameras = system.refinement(cameras).detach()
    camera = cameras[number].resized(width, height)
    output = system.spec.image_renderer(system.renderer).view(camera, system.scene.bounds, 0)
    index = torch.full((len(output),), number, device=system.device)
    with torch.no_grad():
        rgb = system.apply_exposure(output, index).float().clamp(0, 1).cpu()
    opacity = output.opacity.float().cpu().numpy().reshape(height, width)
    return Pair(photo, rgb.numpy().reshape(height, width, 3), opacity, counted)


def _small_photo(system: RadianceSystem, number: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo with colours in [0, 1], and which of its pixels count."""
    photo = system.train_photos.image(number).numpy()
    height, width = photo.shape[:2]
    factor = min(1.0, side / max(height, width))
    size = (max(8, round(factor * width)), max(8, round(factor * height)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    mask = system.train_photos.mask(number)
    if mask is None:
        return small, np.ones(size[::-1], dtype=bool)
    part = cv2.resize(mask.numpy().astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return small, part >= min(0.99, part.max())
