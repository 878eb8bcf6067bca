"""What is random in a training step."""

from __future__ import annotations

import torch

from datasets.loaders.ray_loader import RayBatch
from datasets.scene import Scene
from models.spec import ModelSpec


def step_generator(seed: int, step: int, rank: int, device: torch.device) -> torch.Generator:
    """The source of all that is random in a step, in one process.

    It depends on the seed and the step alone: a resumed run goes on exactly as it would have.
    """
    return torch.Generator(device).manual_seed((seed * 1_000_003 + step) * 1009 + rank)


def random_background(spec: ModelSpec, scene: Scene, batch: RayBatch) -> bool:
    """Whether a step is trained before random colours.

    What is transparent must be so before each colour, and what is not must hide it: fog cannot
    stand in for a background. An object whose photos do not say what is transparent is trained
    before the scene's own background, and so is a model that does not ask for others.
    """
    return spec.random_background and (batch.alpha is not None or not scene.foreground_only)
