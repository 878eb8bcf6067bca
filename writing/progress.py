"""Progress bars that suit a terminal, and a file that somebody reads afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

# Seconds between redrawings.
_TERMINAL, _FILE = 0.2, 10.0


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """tqdm with its own options; into a file, a line now and then is enough."""
    every = _TERMINAL if sys.stderr.isatty() else _FILE
    return tqdm(iterable, dynamic_ncols=True, mininterval=every, **options)
