"""Work on parts of a batch at once, one thread each.

Most operations on packed samples are too short, or too serial, for PyTorch to share one among
the processor's cores; whole chains of them on two parts of the rays keep two cores busy. In
Python the threads would wait for the interpreter's lock between the operations, longer than an
operation takes; a chain that TorchScript runs holds no lock.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])

# As many as PyTorch was started with; a caller may since have set its own thread to one.
CORES = torch.get_num_threads()

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def unlocked(function: Function) -> Function:
    """The function, run by TorchScript; where a PyTorch has none, as it is, and no less right."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript gets no new features; it needs none here
            scripted: Function = torch.jit.script(inspect.unwrap(function))
            return scripted
    except (AttributeError, NotImplementedError):
        return function


def parts_for(device: torch.device) -> int:
    """How many parts to make of a batch on this device."""
    return CORES if device.type == "cpu" else 1


def prefer_parts(device: torch.device, parts: bool = True) -> None:
    """Let the caller's own thread compute by itself, where its work is shared out in parts.

    Threads that wait in the middle of short operations for others, which are busy, cost more
    than they do.

    Args:
        parts: False gives the caller all cores for each operation again.
    """
    if device.type == "cpu":
        torch.set_num_threads(1 if parts else CORES)


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
