"""Curves over the iterations of one or several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes

from learn.figures.style import line_style, new_figure, save_figure, style


@dataclass(frozen=True)
class Curve:
    """Values over steps; drawn with dots where `marked`, and faint where `faint`."""

    steps: Sequence[float] | np.ndarray
    values: Sequence[float] | np.ndarray
    marked: bool = False
    faint: bool = False


def smooth(values: Sequence[float] | np.ndarray, window: int) -> np.ndarray:
    """The mean of each value and those around it, of fewer at the ends."""
    array = np.asarray(values, dtype=np.float64)
    window = max(1, min(window, len(array)))
    ones = np.ones(window)
    return np.convolve(array, ones, "same") / np.convolve(np.ones(len(array)), ones, "same")


def draw_curves(
    path: Path,
    panels: Mapping[str, Mapping[str, Curve]],
    x_label: str = "iteration",
    log: Sequence[str] = (),
    marks: Mapping[float, str] | None = None,
    title: str = "",
) -> Path:
    """Draw panels side by side, each with its curves.

    Args:
        path: the PNG or SVG to write.
        panels: label of a panel's y axis to its curves by name; a name has one colour throughout.
        x_label: below each panel.
        log: labels of the panels with a logarithmic y axis.
        marks: steps to mark by a vertical line, with a word for each.
        title: above everything.
    """
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    many = len(names) > 8
    with rc_context(style()):
        legend_width = 0.085 * max(map(len, names), default=0) + 0.6 if many else 0
        height = max(3.2, 0.19 * len(names) + 0.8) if many else 3.2
        # A letter of the legend takes 0.085 inches, a line's sample 0.7.
        columns = int(4.4 * len(panels) / (0.085 * max(map(len, names), default=0) + 0.7))
        columns = max(1, min(columns, len(names)))
        if not many:
            height += 0.2 * -(-len(names) // columns)
        figure = new_figure(4.4 * len(panels) + legend_width, min(height, 12) + 0.3 * bool(title))
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (label, curves) in zip(axes, panels.items(), strict=True):
            for name, curve in curves.items():
                _line(axis, names.index(name), name, curve)
            for step, word in (marks or {}).items():
                axis.axvline(step, color="0.6", linewidth=0.8)
                axis.text(
                    step, 1.0, word, fontsize=7, color="0.4", rotation=90, va="top", ha="right",
                    transform=axis.get_xaxis_transform(), zorder=5,
                    bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
                )  # fmt: skip
            axis.set_xlabel(x_label)
            axis.set_ylabel(label)
            if label in log:
                axis.set_yscale("log")
            axis.margins(x=0.02)
        handles = {}
        for axis in axes:
            handles.update(dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True)))
        if many:
            figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=8)
        elif len(names) > 1:
            figure.legend(
                handles.values(),
                handles.keys(),
                loc="outside lower center",
                ncols=columns,
                fontsize=9,
            )
        if title:
            figure.suptitle(title, fontsize=11)
        return save_figure(figure, path)


def _line(axis: Axes, index: int, name: str, curve: Curve) -> None:
    axis.plot(
        curve.steps,
        curve.values,
        label=name,
        marker="o" if curve.marked else None,
        markersize=3.5,
        linewidth=1.0 if curve.faint else 1.5,
        alpha=0.45 if curve.faint else 1.0,
        **line_style(index),  # type: ignore[arg-type]
    )
