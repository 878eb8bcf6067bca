"""How much to work on at once: parts of a batch, one thread each, and all of it on a GPU.

Most operations on packed samples are too short, or too serial, for PyTorch to share one among
the processor's cores; whole chains of them on two parts of the rays keep two cores busy. In
Python the threads would wait for the interpreter's lock between the operations, longer than an
operation takes; a chain that TorchScript runs holds no lock.
"""

from __future__ import annotations

import contextlib
import functools
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

_GPU = 16

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def scripted(function: Function) -> Function:
    """The function, run by TorchScript, which holds no interpreter lock.

    Where a PyTorch has no TorchScript, the function as it is: slower, with the same results.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript gets no new features; it needs none here
            compiled: Function = torch.jit.script(inspect.unwrap(function))
            return compiled
    except (AttributeError, NotImplementedError):
        return function


@functools.cache
def cores() -> int:
    """As many threads as PyTorch was started with, before `use_device` gave this one a single."""
    return torch.get_num_threads()


def n_parts(device: torch.device) -> int:
    """How many parts to make of a batch on this device."""
    return cores() if device.type == "cpu" else 1


def split_for_device(count: int, device: torch.device) -> list[slice]:
    """A batch of `count`, cut into parts for the device; one empty part of nothing."""
    size = max(1, -(-count // n_parts(device)))
    return [slice(i, i + size) for i in range(0, max(1, count), size)]


def scaled_for_device(count: int, device: torch.device) -> int:
    """How many points or rays to work on at once.

    Args:
        count: what suits a processor. A GPU takes many more in little more time than it takes to
            start the operations.
    """
    return count if device.type == "cpu" else _GPU * count


def round_robin_slice(count: int, parts: int, number: int) -> slice:
    """The rows, of `count`, that are worked on at step `number`, to go through all in `parts`."""
    begin, end = (count * (number % parts + i) // parts for i in (0, 1))
    return slice(begin, end)


def use_device(device: torch.device, in_parts: bool) -> None:
    """Set PyTorch up for the work here; called once by a command, before the work.

    - On a processor, the caller's own thread computes alone where its work is shared out in parts:
      threads that wait in the middle of short operations for others, which are busy, cost more
      than they do.
    - On an NVIDIA GPU, networks multiply in TF32 (10 bits): the paper's network learns as well.
    - TorchScript compiles no operations into one: shapes change from step to step, and to compile
      for each of them takes seconds.

    Args:
        in_parts: the model computes in parts (ModelSpec.in_parts).
    """
    with contextlib.suppress(AttributeError, NotImplementedError):  # a PyTorch without it
        torch.jit.set_fusion_strategy([])
    if device.type == "cpu":
        threads = cores()
        torch.set_num_threads(1 if in_parts else threads)
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
