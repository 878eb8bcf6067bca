"""The PSNR curve of a training."""

from __future__ import annotations

from typing import Any

import numpy as np
from viser import uplot

_MOST = 600  # points of a curve


class TrainingPanel:
    """What a visitor sees of the training's numbers."""

    def __init__(self, gui: Any) -> None:
        self.text = gui.add_markdown("")
        nothing = np.array([0.0, 1.0])
        self.plot = gui.add_uplot(
            (nothing, np.full(2, np.nan), np.full(2, np.nan)),
            (
                uplot.Series(label="step"),
                uplot.Series(label="train", stroke="#1971c2", width=1.5),
                uplot.Series(label="val", stroke="#e8590c", width=2, spanGaps=True),
            ),
            scales={"x": uplot.Scale(time=False, auto=True), "y": uplot.Scale(auto=True)},
            title="PSNR in dB",
            aspect=1.3,
        )

    def show(self, curve: Curve, text: str) -> None:
        """The curve so far, and a line about it."""
        self.text.content = text
        self.plot.data = curve.arrays()


class Curve:
    """PSNR of training batches and of validations, by step; thinned out as it grows."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float]] = []

    def add(self, step: int, train: float, val: float) -> None:
        """NaN stands for a value that is not known at this step."""
        self.rows.append((step, train, val))
        if len(self.rows) > _MOST:
            # Every other one goes, but no validation.
            self.rows = [r for i, r in enumerate(self.rows) if i % 2 or not np.isnan(r[2])]

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps, and both curves."""
        rows = np.array(self.rows or [(0.0, np.nan, np.nan)], dtype=float)
        return rows[:, 0], rows[:, 1], rows[:, 2]
