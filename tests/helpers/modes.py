"""Training steps in which nothing is random but what is asked for."""

from __future__ import annotations

from typing import Any

import torch

from models.rendering.renderer import TrainingMode


def training_mode(
    seed: int = 0,
    perturb: float = 0.0,
    noise_std: float = 0.0,
    device: torch.device | str = "cpu",
    **others: Any,
) -> TrainingMode:
    """A training step's, by default with samples at the middles of their intervals."""
    return TrainingMode(torch.Generator(device).manual_seed(seed), perturb, noise_std, **others)
