"""What the figures of a run allow to be said, in a sentence each."""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluation.photo_causes import BLURRED
from reporting.events import Series
from reporting.run import Run

# dB: less is noise; so far apart, training photos and held-out ones are not learned alike.
_NOISE, _APART, _BAD_PHOTO = 0.3, 4.0, 4.0


def judge(run: Run) -> list[str]:
    """Sentences, the most important first; empty where there is too little to go by."""
    said = []
    train = run.log.series("train/psnr")
    pixels = run.log.series("val/psnr_pixels")
    held_out = pixels if pixels.steps else run.log.series("val/psnr")
    if len(held_out.values) >= 4 and len(train.values) >= 4:
        said.append(_course(train, held_out))
        gap = _tail(train) - held_out.values[-1]
        if gap > _APART:
            said.append(
                f"Training photos are {gap:.1f} dB better than held-out ones: poses that are not "
                "exact, changing light or movement between photos, or too few photos."
            )
    photos = run.record.get("training_photos", [])
    if len(photos) >= 4:
        middle = float(np.median([row["psnr"] for row in photos]))
        bad = sorted((r for r in photos if middle - r["psnr"] > _BAD_PHOTO), key=_psnr)
        if bad:
            names = ", ".join(_described(row) for row in bad[:3])
            said.append(
                f"{len(bad)} of {len(photos)} training photos are far below the others' "
                f"{middle:.1f} dB: {names}."
            )
        blurred = [r["name"] for r in photos if r.get("cause") == BLURRED and r not in bad[:3]]
        if blurred:  # which PSNR alone hides
            said.append(f"Blurred beside the other photos: {', '.join(blurred)}.")
    return said


def _course(train: Series, held_out: Series) -> str:
    """How the curves go towards the end."""
    best = int(np.argmax(held_out.values))
    fallen = held_out.values[best] - held_out.values[-1]
    last = held_out.steps[-1]
    middle = 0.75 * last
    before = held_out.at(middle) or held_out.values[0]
    rise = held_out.values[-1] - before
    if fallen > _NOISE and _tail(train) > (train.at(held_out.steps[best]) or np.inf) - _NOISE:
        return (
            f"Training rises while held-out views fell by {fallen:.1f} dB since step "
            f"{held_out.steps[best]}: the poses, or too few photos. The best checkpoint is of then."
        )
    if rise > _NOISE:
        return (
            f"Held-out views still gained {rise:.1f} dB in the last quarter: a longer training "
            "would be better."
        )
    return "Held-out views hardly changed in the last quarter: more training would bring little."


def _tail(series: Series) -> float:
    """The mean over the last tenth."""
    count = max(1, len(series.values) // 10)
    return float(np.mean(series.values[-count:]))


def _described(row: dict[str, Any]) -> str:
    cause = row.get("cause") or "look whether it is blurred, misplaced or otherwise exposed"
    return f"{row['name']} ({row['psnr']:.1f} dB: {cause})"


def _psnr(row: dict[str, Any]) -> float:
    return row["psnr"]
