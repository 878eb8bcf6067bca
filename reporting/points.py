"""Points of a run that are compared: in epochs, steps or seconds, as the run was limited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import UserError
from reporting.run import Run
from training.callbacks.keep_after import AFTER, UNITS, kept_name

_FLAGS = {"epoch": "--keep_epochs", "step": "--keep_steps", "seconds": "--keep_seconds"}


@dataclass(frozen=True)
class Point:
    """A moment of a run.

    Attributes:
        label: in the run's unit.
        step: that was the last one.
    """

    label: str
    step: int


def unit_of(run: Run) -> str:
    """By what the run was limited: epoch, step or seconds."""
    options = run.record.get("options", {})
    if options.get("max_time") is not None:
        return "seconds"
    return "epoch" if options.get("max_steps") is None else "step"


def label_of(unit: str, value: float) -> str:
    """As it stands in tables and figures."""
    return f"{value:g} s" if unit == "seconds" else f"{unit} {value:g}"


def epoch_ends(run: Run) -> dict[int, int]:
    """The last logged step of each epoch that is over, by its number from 1."""
    series = run.log.series("epoch")
    ends: dict[int, int] = {}
    for step, epoch in zip(series.steps, series.values, strict=True):
        ends[int(epoch) + 1] = step
    running = run.record.get("epoch", 0) + 1
    return {epoch: step for epoch, step in ends.items() if epoch < running or epoch < max(ends)}


def usual_points(run: Run, epochs: Sequence[int]) -> list[Point]:
    """The chosen epochs; of a run that time or steps limited, its half, three quarters and end."""
    unit = unit_of(run)
    ends = epoch_ends(run)
    if unit == "epoch" or any(epoch in ends for epoch in epochs):
        return [Point(label_of("epoch", e), ends[e]) for e in epochs if e in ends]
    limit = run.record["options"]["max_time" if unit == "seconds" else "max_steps"]
    values = [limit * share for share in (0.5, 0.75, 1.0)]
    found = ((value, _step_at(run, unit, value)) for value in values)
    return [Point(label_of(unit, value), step) for value, step in found if step is not None]


def kept_checkpoints(run: Run, values: Sequence[int], folder: Path) -> dict[str, Path]:
    """The checkpoints after so many epochs, steps or seconds, by their labels.

    Args:
        values: in the run's own unit, or in the one in which all of them were kept.
        folder: of the run's checkpoints.

    Raises UserError where one of them was not kept.
    """
    own = unit_of(run)
    for unit in (own, *(unit for unit in UNITS if unit != own)):
        paths = {label_of(unit, value): folder / kept_name(unit, value) for value in values}
        if all(path.is_file() for path in paths.values()):
            return paths
    there = sorted(path.name for path in folder.glob(f"{AFTER}*.ckpt"))
    wanted = " ".join(map(str, values))
    raise UserError(
        f"--checkpoints {wanted}: {run.name} has not kept these "
        f"({'it has ' + ', '.join(there) if there else 'it has kept none'}); "
        f"train with {_FLAGS[own]} {wanted}"
    )


def table(run: Run, points: Sequence[Point]) -> list[dict[str, Any]]:
    """What was logged up to each point."""
    tags = ("train/psnr", "train/loss", "val/psnr", "val/loss")
    return [
        {
            "label": point.label,
            "step": point.step,
            **{tag.replace("/", "_"): run.log.series(tag).at(point.step + 1) for tag in tags},
        }
        for point in points
    ]


def _step_at(run: Run, unit: str, value: float) -> int | None:
    """The step that was running then; None where the run did not get there."""
    if unit == "step":
        return round(value) if value <= run.step else None
    series = run.log.series("train/seconds")
    if not series.steps or value > 1.05 * max(series.values[-1], run.record.get("seconds", 0)):
        return None
    before = [s for s, t in zip(series.steps, series.values, strict=True) if t <= value]
    return before[-1] if before else None
