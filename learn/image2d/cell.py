"""One combination of options in a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learn.image2d.fit import results_folder
from learn.image2d.options import FitOptions


@dataclass
class Cell:
    """One combination of the sweep, and what became of it."""

    values: tuple[Any, ...]
    options: FitOptions
    state: str = "waiting"
    metrics: dict[str, Any] | None = None

    @property
    def folder(self) -> Path:
        return results_folder(self.options)
