"""The device that a benchmark runs on: its name, its memory, and waiting until it is done."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from models.parallel import n_parts


def synchronize(device: torch.device) -> None:
    """Wait for what a GPU was told to do, so that a clock sees it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device: torch.device) -> str:
    """What a table of results says of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {n_parts(device)} threads"


def median_seconds(work: Callable[[], object], count: int, device: torch.device) -> float:
    """Seconds of a call, the median over `count` calls after one that is not counted."""
    times = []
    for _ in range(count + 1):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def peak_megabytes(device: torch.device | None = None) -> float:
    """Peak memory in MB (2^20 bytes): of a CUDA device, or else of this process."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.exists():  # getrusage may begin with what the parent process held
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return max_rss_megabytes(resource.getrusage(resource.RUSAGE_SELF))


def max_rss_megabytes(usage: resource.struct_rusage) -> float:
    """Peak memory in MB (2^20 bytes) as the system counted it."""
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
