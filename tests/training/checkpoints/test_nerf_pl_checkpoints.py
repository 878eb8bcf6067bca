"""Checkpoints: nerf_pl's load and render; damaged, foreign and harmful ones are refused."""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import reference_nerf as reference
from datasets import load_scene
from datasets.config import SceneConfig
from errors import UserError
from eval import choose_splits
from geometry.rays import image_rays
from opt import EvalOptions, TrainOptions, from_dict
from tests.helpers.runs import command
from tests.scenes import forward_poses, write_blender, write_llff
from training.checkpoints import read_checkpoint


def nerf_pl_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}
    for name in ("nerf_coarse", "nerf_fine"):
        model = reference.ReferenceNeRF(D=8, W=32)
        with torch.no_grad():
            model.sigma.bias.fill_(0.5)
        weights |= {f"{name}.{key}": value for key, value in model.state_dict().items()}
    return weights


def save_nerf_pl(path: Path, form: str, **hparams) -> Path:
    """The forms in which nerf_pl's checkpoints are about."""
    weights = nerf_pl_weights()
    if form == "weights only":
        torch.save(weights, path)
        return path
    scheduler = {"milestones": [2, 4], "_step_count": 3, "best": np.float64(0.1)}
    content = {
        "epoch": 16,
        "global_step": 1000,
        "state_dict": weights,
        "checkpoint_callback_best": torch.tensor(0.01),
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 5e-4}]}],
        "lr_schedulers": [scheduler],
        "hparams": argparse.Namespace(**hparams) if form == "namespace" else hparams,
    }
    torch.save(content, path, _use_new_zipfile_serialization=form != "old file")
    return path


@pytest.mark.parametrize("form", ["weights only", "dict", "namespace", "old file"])
def test_nerf_pl_checkpoints_load(tmp_path, form):
    path = save_nerf_pl(tmp_path / "epoch=15.ckpt", form, N_samples=16, N_importance=8)
    checkpoint = read_checkpoint(path)
    assert checkpoint.from_nerf_pl
    assert not checkpoint.resumable
    assert checkpoint.options["netdepth"] == 8
    assert checkpoint.options["netwidth"] == 32
    assert checkpoint.options["netskip"] == 4
    assert checkpoint.options["N_emb_xyz"] == 10
    assert checkpoint.options["N_emb_dir"] == 4
    if form != "weights only":
        assert checkpoint.options["N_samples"] == 16
    for name, value in nerf_pl_weights().items():
        assert torch.equal(checkpoint.state_dict[name], value)


def test_nerf_pl_checkpoint_renders_as_nerf_pl_would(tmp_path):
    """The command's picture is that of the usual implementation with the same weights."""
    root = write_blender(tmp_path / "ball", size=12)
    save_nerf_pl(tmp_path / "a.ckpt", "old file", N_samples=16, N_importance=8)
    args = ("--ckpt_path", "a.ckpt", "--root_dir", "ball", "--split", "test")
    command(tmp_path, "eval", *args, "--out_dir", "out")
    scene = load_scene(SceneConfig(root_dir=str(root)))
    rays = image_rays(scene.cameras, scene.bounds, scene.splits["test"][1])
    models = []
    for name in ("nerf_coarse.", "nerf_fine."):
        model = reference.ReferenceNeRF(W=32)
        weights = nerf_pl_weights()
        model.load_state_dict({k[len(name) :]: v for k, v in weights.items() if k.startswith(name)})
        models.append(model)
    with torch.no_grad():
        expected = reference.render(
            *(models, rays.origins, rays.directions, rays.viewdirs, 2.0, 6.0, 16, 8, True)
        )[-1][0]
    saved = np.asarray(Image.open(tmp_path / "out/test/001.png")).astype(float)
    difference = np.abs(saved - 255 * expected.view(12, 12, 3).numpy())
    assert difference.max() < 1.0


def test_nerf_pl_forward_facing_uses_its_view_directions(tmp_path):
    """nerf_pl fed NDC directions to the network; its weights are rendered in that way."""
    write_llff(tmp_path / "ball", forward_poses(9), centre=np.array([0.0, 0, -4]), size=(8, 6))
    save_nerf_pl(tmp_path / "a.ckpt", "weights only")
    args = ("--ckpt_path", "a.ckpt", "--root_dir", "ball", "--dataset_name", "llff")
    few = ("--split", "test", "--N_samples", "8", "--N_importance", "4", "--out_dir", "out")
    command(tmp_path, "eval", *args, *few)
    assert len(list((tmp_path / "out/test").glob("0*.png"))) == 2

    options = EvalOptions(
        ckpt_path=str(tmp_path / "a.ckpt"), root_dir=str(tmp_path / "ball"), dataset_name="llff"
    )
    checkpoint = read_checkpoint(Path(options.ckpt_path))
    trained = options.over(from_dict(TrainOptions, checkpoint.options))
    scene, splits = choose_splits(options, trained, checkpoint)
    assert "test" in splits
    assert scene.bounds.warped_viewdirs


def test_training_state_of_nerf_pl_is_read_without_running_it(tmp_path):
    """Schedulers and optimizers of an old file are passed over, not imported."""
    from torch.optim.lr_scheduler import CosineAnnealingLR

    weights = nerf_pl_weights()
    parameter = torch.nn.Parameter(torch.zeros(1))
    scheduler = CosineAnnealingLR(torch.optim.Adam([parameter]), 10)
    torch.save(
        {"state_dict": weights, "lr_schedulers": [{"after": scheduler}]}, tmp_path / "a.ckpt"
    )
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert checkpoint.state_dict.keys() == weights.keys()


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path, zipped):
    mark, path = tmp_path / "ran", tmp_path / "a.ckpt"
    torch.save(
        {"state_dict": nerf_pl_weights(), "x": Harmful(mark)},
        path,
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(UserError, match="holds code"):
        read_checkpoint(path)
    assert not mark.exists()


def _truncated(path: Path) -> None:
    torch.save(nerf_pl_weights(), path)
    path.write_bytes(path.read_bytes()[:3000])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such checkpoint"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_text("hello"), "damaged"),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "not a checkpoint"),
        (_truncated, "damaged"),
        (lambda path: torch.save(torch.zeros(3), path), "not a checkpoint"),
        (lambda path: torch.save({"resnet.weight": torch.zeros(3)}, path), "resnet.weight"),
        (
            lambda path: torch.save({"nerf_coarse.static_sigma": torch.zeros(3)}, path),
            "not those of nerf_pl",
        ),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, make, words):
    path = tmp_path / "a.ckpt"
    make(path)
    with pytest.raises(UserError, match=words) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
