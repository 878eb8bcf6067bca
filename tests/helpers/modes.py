"""Training steps in which nothing is random but what is asked for."""

from __future__ import annotations

from typing import Any

import torch

from models.rendering.renderer import TrainingMode


def training_mode(
    seed: int = 0, perturb: float = 0.0, noise_std: float = 0.0, **others: Any
) -> TrainingMode:
    """A training step on the processor, by default with samples where a picture has them."""
    return TrainingMode(torch.Generator().manual_seed(seed), perturb, noise_std, **others)
