"""The PSNR curves of a training."""

from __future__ import annotations

from typing import Any

import numpy as np
from viser import uplot

_MOST = 600  # points of a curve


class Curve:
    """A value by step; thinned out as it grows."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float]] = []

    def add(self, step: int, value: float) -> None:
        self.rows.append((step, value))
        if len(self.rows) > _MOST:
            self.rows = self.rows[1::2]

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Steps and values."""
        steps, values = np.array(self.rows, dtype=float).reshape(-1, 2).T
        return steps, values


class TrainingPanel:
    """What a visitor sees of the training's numbers."""

    def __init__(self, gui: Any) -> None:
        self.text = gui.add_markdown("")
        self.plots = [
            gui.add_uplot(
                Curve().arrays(),
                (uplot.Series(label="step"), uplot.Series(label=label, stroke=colour, width=2)),
                scales={"x": uplot.Scale(time=False, auto=True), "y": uplot.Scale(auto=True)},
                title=title,
                aspect=1.6,
            )
            for title, label, colour in (
                ("PSNR of training batches, dB", "train", "#1971c2"),
                ("PSNR of held-out views, dB", "val", "#e8590c"),
            )
        ]

    def show(self, curves: tuple[Curve, Curve], text: str) -> None:
        """The curves so far, of training and validation, and a line about them."""
        self.text.content = text
        for plot, curve in zip(self.plots, curves, strict=True):
            plot.data = curve.arrays()
