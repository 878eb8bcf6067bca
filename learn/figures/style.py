"""What all figures share: their look, and how they reach a file."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from writing.files import replacing

DPI = 150

# Okabe and Ito's colours (2008), which colour-blind readers tell apart, without their yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", "--", ":", "-.")

_STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text, so that a document can restyle it
    "svg.hashsalt": "figure",  # the same figure is the same file
}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of width x height inches, drawn without a display."""
    # Not pyplot: it keeps every figure alive, and wants a screen where there is one.
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def style() -> matplotlib.RcParams:
    """The look, to be used as `with rc_context(style()):`."""
    return matplotlib.RcParams(_STYLE)


def line_style(index: int) -> dict[str, str]:
    """Colour and dashes of the index-th of many lines: no two among the first 28 are alike."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
    }


def save_figure(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG, or as SVG where `path` ends so."""
    metadata = {"Date": None} if path.suffix == ".svg" else None
    with replacing(path) as temporary:
        figure.savefig(temporary, metadata=metadata)
    return path
