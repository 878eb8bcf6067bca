"""Learning rates over a training, against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from opt import TrainOptions
from training.optim.optimizers import make_optimizer, make_scheduler

EPOCH, TOTAL = 10, 100


def rates(**options) -> list[float]:
    """The learning rate of each step."""
    train = TrainOptions(lr=0.1, num_epochs=10, **options)
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))], train, default_lr=1.0)
    scheduler = make_scheduler(optimizer, train, EPOCH, TOTAL)
    out = []
    for _ in range(TOTAL):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return out


def test_steplr_falls_after_its_epochs():
    got = rates(decay_step=(2, 5), decay_gamma=0.5)
    assert got[:20] == pytest.approx([0.1] * 20)
    assert got[20:50] == pytest.approx([0.05] * 30)
    assert got[50:] == pytest.approx([0.025] * 50)


def test_cosine_and_poly_end_with_the_training():
    expected = [0.05 * (1 + math.cos(math.pi * i / TOTAL)) for i in range(TOTAL)]
    assert rates(lr_scheduler="cosine") == pytest.approx(expected, abs=1e-8)
    expected = [0.1 * (1 - i / TOTAL) ** 0.9 for i in range(TOTAL)]
    assert rates(lr_scheduler="poly", poly_exp=0.9) == pytest.approx(expected)


def test_warm_up_rises_to_the_multiple():
    got = rates(warmup_epochs=2, warmup_multiplier=4.0, decay_step=(3,), decay_gamma=0.1)
    assert got[0] == pytest.approx(0.1)
    assert got[10] == pytest.approx(0.25)
    assert got[20:50] == pytest.approx([0.4] * 30)
    assert got[50] == pytest.approx(0.04)  # decay_step counts from the end of the warm-up
    assert rates(warmup_epochs=2, warmup_multiplier=4.0, optimizer="radam")[0] == 0.1


@pytest.mark.parametrize(
    "name", ["sgd", "adam", "radam", "adamw", "nadam", "adamax", "adagrad", "rmsprop"]
)
def test_every_optimizer_goes_downhill(name):
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = make_optimizer([parameter], TrainOptions(optimizer=name), default_lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        parameter.square().sum().backward()
        optimizer.step()
    assert parameter.item() < 1.0
