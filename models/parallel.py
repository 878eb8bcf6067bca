"""How much to work on at once: parts of a batch, one thread each, and all of it on a GPU.

Most operations on packed samples are too short, or too serial, for PyTorch to share one among
the processor's cores; whole chains of them on two parts of the rays keep two cores busy. In
Python the threads would wait for the interpreter's lock between the operations, longer than an
operation takes; a chain that TorchScript runs holds no lock.
"""

from __future__ import annotations

import contextlib
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

# Shapes change from step to step: to compile operations into one for each of them takes seconds, on
# a GPU, and gains nothing on a processor.
with contextlib.suppress(AttributeError, NotImplementedError):  # as below
    torch.jit.set_fusion_strategy([])

# As many as PyTorch was started with; a caller may since have set its own thread to one.
CORES = torch.get_num_threads()

_GPU = 16

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


def shares(count: int, device: torch.device) -> list[slice]:
    """A batch of `count`, cut into parts for the device; one empty part of nothing."""
    size = max(1, -(-count // parts_for(device)))
    return [slice(i, i + size) for i in range(0, max(1, count), size)]


def at_once(count: int, device: torch.device) -> int:
    """How many points or rays to go through at once, where it is for us to say.

    Args:
        count: what suits a processor. A GPU goes through many more in little more time than it
            takes to start the operations.
    """
    return count if device.type == "cpu" else _GPU * count


def turn(count: int, parts: int, number: int, device: torch.device) -> slice:
    """The part of `count` rows whose turn is at step `number`, where a processor goes through them
    in `parts` steps; a GPU, with more samples in each, in fewer."""
    parts = max(1, parts // at_once(1, device))
    begin, end = (count * (number % parts + i) // parts for i in (0, 1))
    return slice(begin, end)


def prefer_parts(device: torch.device, parts: bool = True) -> None:
    """Let the caller's own thread compute by itself, where its work is shared out in parts.

    Threads that wait in the middle of short operations for others, which are busy, cost more
    than they do.

    Args:
        parts: False gives the caller all cores for each operation again.
    """
    if device.type == "cpu":
        torch.set_num_threads(1 if parts else CORES)


def prefer_tensor_cores(device: torch.device) -> None:
    """Round what networks multiply to the 10 bits of TF32, which an NVIDIA GPU's tensor cores take:
    the paper's network learns as well, and takes 1.3 times as many steps in the same time."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")


def parallel(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """function(part) of each part, in order; without gradients. The first is the caller's own."""
    others = []
    if len(parts) > 1:
        with _lock:
            pool = _pools.get(len(parts))
            if pool is None:
                pool = _pools[len(parts)] = ThreadPoolExecutor(len(parts) - 1, initializer=_single)
        others = [pool.submit(torch.no_grad()(function), part) for part in parts[1:]]
    with torch.no_grad():
        first = function(parts[0])
    return [first, *(other.result() for other in others)]


def _single() -> None:
    torch.set_num_threads(1)  # of this thread alone
