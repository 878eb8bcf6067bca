"""Options of the optimizer and of the learning rate's course."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from errors import require


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer, and how its rate rises and falls."""

    optimizer: Literal["sgd", "adam", "radam", "adamw", "nadam", "adamax", "adagrad", "rmsprop"] = (
        "adam"
    )
    """optimizer"""
    lr: float | None = None
    """learning rate; by default the model's own (5e-4 for the paper's network). Of a field that
    grows it is that of its network, and the tables' rates keep their proportion to it"""
    momentum: float = 0.9
    """momentum (sgd, rmsprop)"""
    weight_decay: float = 0.0
    """weight decay"""
    lr_scheduler: Literal["steplr", "cosine", "poly"] = "steplr"
    """how the learning rate falls"""
    warmup_multiplier: float = 1.0
    """the learning rate rises to this many times --lr over --warmup_epochs (sgd, adam, ...;
    radam warms up by itself)"""
    warmup_epochs: int = 0
    """epochs of warm-up"""
    decay_step: tuple[int, ...] = (20,)
    """steplr: epochs after which the learning rate is multiplied by --decay_gamma"""
    decay_gamma: float = 0.1
    """steplr: factor"""
    poly_exp: float = 0.9
    """poly: exponent"""

    def __post_init__(self) -> None:
        for name in ("weight_decay", "warmup_epochs"):
            require(getattr(self, name) >= 0, f"--{name} must not be negative")
        require(self.lr is None or self.lr > 0, f"--lr must be positive, not {self.lr}")
        require(self.warmup_multiplier >= 1, "--warmup_multiplier must be at least 1")
