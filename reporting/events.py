"""What TensorBoard's event files hold of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from datasets.files.images import decode_rgb
from errors import UserError

Picture = UInt8[np.ndarray, "height width 3"]


@dataclass
class Series:
    """Values of one tag over the steps."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def at(self, step: float) -> float | None:
        """The last value up to `step`."""
        before = [v for s, v in zip(self.steps, self.values, strict=True) if s <= step]
        return before[-1] if before else None


@dataclass
class Log:
    """Scalars and images of a run, by tag; images are encoded, with their step."""

    scalars: dict[str, Series] = field(default_factory=dict)
    images: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)

    def series(self, tag: str) -> Series:
        return self.scalars.get(tag, Series())


def read_log(folders: list[Path]) -> Log:
    """Read event files of a run and of what resumed it, in order of time.

    What a later part logs replaces what an earlier one had logged from the same step on.

    Raises UserError where a file is damaged.
    """
    log = Log()
    for folder in folders:
        try:
            _read_events(folder, log)
        except Exception as error:  # tensorboard has no class of its own for damaged files
            raise UserError(
                f"{folder}: its event files are damaged ({error or type(error).__name__}); take "
                "them out, or train again"
            ) from error
    return log


def _read_events(folder: Path, log: Log) -> None:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    for tag in tags["scalars"]:
        series = log.scalars.setdefault(tag, Series())
        new = events.Scalars(tag)
        kept = [i for i, step in enumerate(series.steps) if step < new[0].step]
        series.steps = [series.steps[i] for i in kept] + [event.step for event in new]
        series.values = [series.values[i] for i in kept] + [event.value for event in new]
    for tag in tags["images"]:
        # Of a step the last one: at the end a view is shown whole after a grid of its pixels.
        found = {event.step: event.encoded_image_string for event in events.Images(tag)}
        before = [item for item in log.images.get(tag, []) if item[0] < min(found)]
        log.images[tag] = [*before, *sorted(found.items())]


def split_comparison(encoded: bytes) -> tuple[Picture, Picture, Picture]:
    """Photo, prediction and depth, which validation logs side by side."""
    image = decode_rgb(encoded, "an image of the event files")
    width = image.shape[1] // 3
    if width == 0:
        raise UserError("an image of the event files is too narrow; train again")
    return image[:, :width], image[:, width : 2 * width], image[:, 2 * width :]
