"""How many rays a training step takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from models.field import StepSize
from models.tensorf.field import TensoRF
from models.voxels.field import VoxelField
from tests.helpers.voxels import BOX
from training.callbacks.clock import TrainingClock
from training.callbacks.growing import Growing

_CLOCK = TrainingClock(None, 100, None)


def run(growing: Growing, system: Any, samples_of_a_ray: Any, steps: range) -> list[int]:
    """Steps whose rays take so many samples each, by the step; returns the rays of each step."""
    rays = []
    for step in steps:
        count = system.train_rays.batch_size
        rays.append(count)
        outputs = {"n_samples": int(count * samples_of_a_ray(step))}
        batch: Any = SimpleNamespace(rgbs=torch.zeros(count, 3))
        trainer = Mock(spec=Trainer, global_step=step + 1)
        growing.on_train_batch_end(trainer, system, outputs, batch, step)
    return rays


class Stub:
    """A growing field that does not grow, and wants steps of a size."""

    def __init__(self, step_size: StepSize) -> None:
        self.step_size = step_size

    def parameter_groups(self) -> list[dict[str, Any]]:
        return []

    def grow(self, *args: Any) -> list[Any]:
        return []


def a_system(size: StepSize, batch_size: int = 4096) -> Any:
    return Mock(
        spec=LightningModule,
        train_rays=SimpleNamespace(batch_size=batch_size),
        fields={"nerf_coarse": Stub(size)},
    )


def test_rays_follow_the_samples_that_they_take():
    """Two hundred samples a ray at first, ten once it is known where the scene is empty."""
    growing, system = Growing(_CLOCK, adapt=True), a_system(StepSize(60_000, 256, 4096))
    growing.on_train_start(Mock(spec=Trainer), system)
    rays = run(growing, system, lambda step: 200 if step < 100 else 20, range(200))
    assert rays[0] == 256
    assert rays[99] == pytest.approx(300, rel=0.15)
    assert rays[-1] == pytest.approx(3000, rel=0.1)
    assert max(rays) <= 3300  # it comes near from below
    rays = run(growing, system, lambda step: 2, range(200, 300))
    assert rays[-1] == 4096


def test_a_batch_size_that_is_given_stays():
    growing, system = Growing(_CLOCK, adapt=False), a_system(StepSize(60_000, 256, 4096), 100)
    growing.on_train_start(Mock(spec=Trainer), system)
    assert set(run(growing, system, lambda step: 200, range(40))) == {100}


def test_a_resumed_training_takes_as_many():
    size = StepSize(60_000, 256, 4096)
    growing, system = Growing(_CLOCK, adapt=True), a_system(size)
    growing.on_train_start(Mock(spec=Trainer), system)
    run(growing, system, lambda step: 30, range(21))  # in the middle of a count
    other, again = Growing(_CLOCK, adapt=True), a_system(size)
    other.load_state_dict(growing.state_dict())
    other.on_train_start(Mock(spec=Trainer), again)
    rest = range(21, 60)
    assert run(other, again, lambda step: 15, rest) == run(growing, system, lambda step: 15, rest)


def test_a_field_takes_as_many_samples_as_the_papers_rays_do_on_a_gpu():
    size = TensoRF(BOX, 32).step_size
    assert size.first * 200 < size.samples  # before anything is known to be empty
    assert size.most == 4096
    on_gpu = TensoRF(BOX, 32).to("meta").step_size
    assert on_gpu.first == on_gpu.most
    assert on_gpu.samples == 16 * size.samples
    voxels = VoxelField(BOX, 32).step_size
    assert voxels.first <= voxels.most
