"""The terms of the loss: their formulas, their names and weights, and the log of a training."""

from __future__ import annotations

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from losses import LossConfig, distortion_loss, loss_terms, sparse_depth_loss
from models.rendering.output import RenderOutput
from tests.helpers.runs import command
from tests.helpers.sparse_scenes import write_sparse_scene


def output_of(rgb: torch.Tensor, **extras: torch.Tensor) -> RenderOutput:
    ones = torch.ones(len(rgb))
    return RenderOutput(rgb, ones, ones, extras)


def test_the_photometric_loss_is_summed_over_both_passes():
    rgbs = torch.rand(20, 3)
    outputs = {"coarse": output_of(rgbs + 0.1), "fine": output_of(rgbs - 0.2)}
    terms = loss_terms(outputs, rgbs, LossConfig())
    assert list(terms) == ["photometric"]
    assert float(terms["photometric"]) == pytest.approx(0.1**2 + 0.2**2, rel=1e-4)
    huber = loss_terms({"fine": outputs["fine"]}, rgbs, LossConfig("huber"))
    # Squared up to 0.1, linear beyond it.
    assert float(huber["photometric"]) == pytest.approx(0.1 * (0.2 - 0.05), rel=1e-4)


def test_each_term_has_its_name_and_its_weight():
    rgbs = torch.rand(4, 3)
    opacity, wanted = torch.tensor([0.2, 0.9]), torch.tensor([0.0, 1.0])
    spread = torch.tensor([0.1, 0.3, 0.0, 0.0])
    best = output_of(rgbs, distortion=spread, limited_opacity=opacity)
    terms = loss_terms({"a": output_of(rgbs), "b": best}, rgbs, LossConfig("mse", 0.5, 2.0), wanted)
    assert float(terms["photometric"]) == 0
    assert float(terms["depth"]) == pytest.approx(0.5 * (0.2 + 0.1) / 2)
    assert float(terms["distortion"]) == pytest.approx(2.0 * 0.1)
    assert float(sparse_depth_loss(opacity, wanted)) == pytest.approx(0.15)
    assert float(distortion_loss(spread)) == pytest.approx(0.1)
    assert list(loss_terms({"b": best}, rgbs, LossConfig())) == ["photometric"]


def test_terms_are_logged_by_their_names(tmp_path):
    """Of a scene with a sparse model, whose points supervise depth."""
    write_sparse_scene(tmp_path / "scene", colour=(90, 120, 60))
    words = (
        "--dataset_name colmap --root_dir scene --model voxels --resolution 24 --accelerator cpu"
    )
    more = ("--distortion", "0.05", "--max_steps", "21", "--no_restart", "--val_rays", "64")
    output = command(tmp_path, "train", *words.split(), *more)
    assert "observations of sparse points supervise depth" in output
    events = EventAccumulator(str(tmp_path / "logs/exp/version_0"))
    events.Reload()
    terms = ("photometric", "depth", "distortion")
    columns = [events.Scalars(f"train/loss_{name}") for name in terms]
    total = events.Scalars("train/loss")
    assert len(total) >= 2
    for whole, *parts in zip(total, *columns, strict=True):
        assert all(part.value > 0 for part in parts)
        assert whole.value == pytest.approx(sum(part.value for part in parts), rel=1e-4)
