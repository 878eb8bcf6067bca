"""Devices by name: what --accelerator and --num_gpus ask for."""

from __future__ import annotations

import torch

from errors import UserError

from .processes import local_world_size, world_size


def resolve_device(accelerator: str) -> torch.device:
    """The device that `--accelerator` names. Raises UserError where it is absent."""
    has_mps = torch.backends.mps.is_available()
    if accelerator == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    elif accelerator == "gpu":
        name = "mps" if has_mps and not torch.cuda.is_available() else "cuda"
    else:
        name = accelerator
    if (name == "cuda" and not torch.cuda.is_available()) or (name == "mps" and not has_mps):
        raise UserError(
            f"--accelerator {accelerator}: this machine has no such GPU; use cpu or auto"
        )
    return torch.device(name)


def choose_devices(accelerator: str, num_gpus: int) -> tuple[str, int]:
    """Lightning's names for --accelerator and --num_gpus. Raises UserError for absent GPUs."""
    device = resolve_device(accelerator)
    # Where torchrun or SLURM started the processes, they have said how many.
    count = local_world_size() if world_size() > 1 else max(1, num_gpus)
    check_count(device, count, accelerator)
    return ("gpu" if device.type == "cuda" else device.type), count


def check_count(device: torch.device, count: int, accelerator: str) -> None:
    """Raise UserError where this machine has fewer such devices than --num_gpus asks for."""
    if device.type == "cuda" and count > torch.cuda.device_count():
        raise UserError(f"--num_gpus {count}: this machine has {torch.cuda.device_count()}")
    if device.type != "cuda" and count > 1 and accelerator != "cpu":
        raise UserError(f"--num_gpus {count}: this machine has no such GPUs; or --accelerator cpu")
