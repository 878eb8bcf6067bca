"""Optimizers and learning rates by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    PolynomialLR,
    SequentialLR,
)

from models.field import GrowingField

from .config import OptimizerConfig
from .lazy_adam import LazyAdam

_EPS = 1e-8
_OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "radam": torch.optim.RAdam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "adamax": torch.optim.Adamax,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
}


def make_optimizer(
    parameters: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    config: OptimizerConfig,
    default_lr: float,
) -> Optimizer:
    """The optimizer of --optimizer; a group of parameters may bring its own "lr" (torch's way).

    Args:
        default_lr: of the model, where --lr is not given.
    """
    # The rate that a warm-up rises to is the optimizer's own.
    lr = default_lr if config.lr is None else config.lr
    rate = lr * (config.warmup_multiplier if _warms_up(config) else 1.0)
    common: dict[str, Any] = {"lr": rate, "weight_decay": config.weight_decay}
    if config.optimizer in ("sgd", "rmsprop"):
        common["momentum"] = config.momentum
    if config.optimizer != "sgd":
        common["eps"] = _EPS
    return _OPTIMIZERS[config.optimizer](list(parameters), **common)


def growing_optimizer(
    field: GrowingField, config: OptimizerConfig, others: list[dict[str, Any]]
) -> LazyAdam:
    """Adam for a field that grows, with the field's own rates.

    --lr sets the rate of its network, and the others in proportion.

    Args:
        others: further groups of parameters with their rates ("lr").
    """
    groups = field.parameter_groups()
    network = next(group for group in groups if group["name"] == "network")
    scale = 1.0 if config.lr is None else config.lr / network["lr"]
    for group in groups:
        group["lr"] *= scale
    groups += others
    for group in groups:
        group["initial_lr"] = group["lr"]
    # The second moment follows sooner than in other trainings: what a cell is seen to be changes
    # quickly in the minutes that this one takes.
    return LazyAdam(groups, betas=(0.9, 0.99))


def make_scheduler(
    optimizer: Optimizer, config: OptimizerConfig, steps_per_epoch: int, total_steps: int
) -> LRScheduler:
    """The learning rate's course; it is stepped after each training step.

    Args:
        steps_per_epoch: what --decay_step and --warmup_epochs are multiplied by.
        total_steps: the end of cosine and poly.
    """
    warmup = config.warmup_epochs * steps_per_epoch if _warms_up(config) else 0
    rest = max(1, total_steps - warmup)
    scheduler: LRScheduler
    match config.lr_scheduler:
        case "steplr":
            milestones = [epoch * steps_per_epoch for epoch in config.decay_step]
            scheduler = MultiStepLR(optimizer, milestones, config.decay_gamma)
        case "cosine":
            scheduler = CosineAnnealingLR(optimizer, T_max=rest, eta_min=_EPS)
        case "poly":
            scheduler = PolynomialLR(optimizer, total_iters=rest, power=config.poly_exp)
    if warmup == 0:
        return scheduler
    rise = LinearLR(optimizer, 1 / config.warmup_multiplier, total_iters=warmup)
    return SequentialLR(optimizer, [rise, scheduler], milestones=[warmup])


def _warms_up(config: OptimizerConfig) -> bool:
    return config.warmup_epochs > 0 and config.optimizer != "radam"


def check_state(optimizer: Optimizer) -> None:
    """Raise ValueError where a restored state does not fit its parameters.

    The kernels of an optimizer trust it: they would write beyond the end of what is shorter.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if not isinstance(value, Tensor) or value.dim() == 0:
                continue
            like = value.shape == parameter.shape and value.dtype == parameter.dtype
            if not like and value.shape != parameter.shape[:1]:
                raise ValueError(f"{name} of {tuple(value.shape)} for {tuple(parameter.shape)}")
