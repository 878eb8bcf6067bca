"""Optimizers and learning rates by name."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    PolynomialLR,
    SequentialLR,
)

from opt import TrainOptions

_EPS = 1e-8


def make_optimizer(parameters: Iterable[torch.nn.Parameter], options: TrainOptions) -> Optimizer:
    parameters = list(parameters)
    # The rate that a warm-up rises to is the optimizer's own.
    rate = options.lr * (options.warmup_multiplier if _warms_up(options) else 1.0)
    common = {"lr": rate, "weight_decay": options.weight_decay}
    match options.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, momentum=options.momentum, **common)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, momentum=options.momentum, eps=_EPS, **common)
        case "adam":
            return torch.optim.Adam(parameters, eps=_EPS, **common)
        case "radam":
            return torch.optim.RAdam(parameters, eps=_EPS, **common)
        case "adamw":
            return torch.optim.AdamW(parameters, eps=_EPS, **common)
        case "nadam":
            return torch.optim.NAdam(parameters, eps=_EPS, **common)
        case "adamax":
            return torch.optim.Adamax(parameters, eps=_EPS, **common)
        case "adagrad":
            return torch.optim.Adagrad(parameters, eps=_EPS, **common)
    raise ValueError(options.optimizer)


def make_scheduler(
    optimizer: Optimizer, options: TrainOptions, steps_per_epoch: int, total_steps: int
) -> LRScheduler:
    """The learning rate's course; it is stepped after each training step.

    Args:
        steps_per_epoch: what --decay_step and --warmup_epochs are multiplied by.
        total_steps: the end of cosine and poly.
    """
    warmup = options.warmup_epochs * steps_per_epoch if _warms_up(options) else 0
    rest = max(1, total_steps - warmup)
    scheduler: LRScheduler
    match options.lr_scheduler:
        case "steplr":
            milestones = [epoch * steps_per_epoch for epoch in options.decay_step]
            scheduler = MultiStepLR(optimizer, milestones, options.decay_gamma)
        case "cosine":
            scheduler = CosineAnnealingLR(optimizer, T_max=rest, eta_min=_EPS)
        case "poly":
            scheduler = PolynomialLR(optimizer, total_iters=rest, power=options.poly_exp)
    if warmup == 0:
        return scheduler
    rise = LinearLR(optimizer, 1 / options.warmup_multiplier, total_iters=warmup)
    return SequentialLR(optimizer, [rise, scheduler], milestones=[warmup])


def _warms_up(options: TrainOptions) -> bool:
    return options.warmup_epochs > 0 and options.optimizer != "radam"
