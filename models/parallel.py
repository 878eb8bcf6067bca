"""Work on parts of a batch at once, one thread each.

Most operations on packed samples are too short, or too serial, for PyTorch to share one among
the processor's cores; whole chains of them on two parts of the rays keep two cores busy. The
interpreter waits in none of them: PyTorch gives up its lock while it computes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")

# As many as PyTorch was started with; a caller may since have set its own thread to one.
CORES = torch.get_num_threads()

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def parts_for(device: torch.device) -> int:
    """How many parts to make of a batch on this device."""
    return CORES if device.type == "cpu" else 1


def prefer_parts(device: torch.device) -> None:
    """Let the caller's own thread compute by itself, as its work is shared out in parts.

    Threads that wait in the middle of short operations for others, which are busy, cost more
    than they do.
    """
    if device.type == "cpu":
        torch.set_num_threads(1)


def parallel(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """function(part) of each part, in order; without gradients."""
    if len(parts) == 1:
        with torch.no_grad():
            return [function(parts[0])]
    with _lock:
        pool = _pools.get(len(parts))
        if pool is None:
            pool = _pools[len(parts)] = ThreadPoolExecutor(len(parts), initializer=_single)
    return list(pool.map(torch.no_grad()(function), parts))


def _single() -> None:
    torch.set_num_threads(1)  # of this thread alone
