"""The device that a benchmark runs on: its name, and waiting until it has done its work."""

from __future__ import annotations

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
