"""Whole commands with the fields that are sampled where something is: TensoRF, NeRF, voxels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from datasets import load_scene
from datasets.config import SceneConfig
from errors import UserError
from geometry.rays import image_rays
from losses import loss_dict
from tests.conftest import ROOT
from tests.helpers.commands import weights
from tests.helpers.models import SMALL_NERF, build, options_of, training_mode
from tests.helpers.runs import COMMON, RUNS, SMALL, command, found, val_psnr
from tests.scenes import write_blender


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball")
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """Trains a model once; returns the run's last checkpoint and what train.py printed."""
    done: dict[str, tuple[str, str]] = {}

    def train(model: str) -> tuple[str, str]:
        if model not in done:
            output = command(folder, "train", *COMMON, *RUNS[model], "--exp_name", model)
            done[model] = (f"ckpts/{model}/last.ckpt", output)
        return done[model]

    return train


@pytest.mark.parametrize(("model", "least"), [("tensorf", 12.0), ("nerf", 9.5), ("voxels", 25.0)])
def test_a_run_learns_and_renders_as_it_validates(folder, trained, model, least):
    checkpoint, output = trained(model)
    assert val_psnr(output) > least
    args = ("--ckpt_path", checkpoint, "--split", "val", "--accelerator", "cpu")
    command(folder, "eval", *args, "--out_dir", model)
    # What training prints at its end is what eval.py measures on the same split.
    mean = json.loads((folder / model / "val/metrics.json").read_text())["mean"]
    assert f"val PSNR {mean['psnr']:.2f} dB over all 2 views" in output


@pytest.mark.parametrize("model", RUNS)
def test_a_resumed_run_ends_with_the_same_weights(folder, trained, model):
    checkpoint, _ = trained(model)
    (middle,) = (folder / "ckpts" / model).glob(f"*step={RUNS[model][-1]}.ckpt")
    command(
        *(folder, "train", "--ckpt_path", str(middle.relative_to(folder))),
        *("--exp_name", f"{model}_resumed"),
    )
    whole = weights(folder / checkpoint)
    resumed = weights(folder / f"ckpts/{model}_resumed/last.ckpt")
    assert whole.keys() == resumed.keys()
    for key in whole:
        assert torch.equal(whole[key], resumed[key]), key


@pytest.mark.parametrize("model", ["tensorf", "voxels"])
def test_training_starts_from_weights_alone(folder, trained, model):
    checkpoint, output = trained(model)
    grown = weights(folder / checkpoint)
    command(folder, "eval", "--ckpt_path", checkpoint, "--export_weights", f"{model}.ckpt")
    again = command(
        *(folder, "train", "--ckpt_path", f"{model}.ckpt", "--exp_name", f"{model}_again"),
        *("--max_steps", "2"),
    )
    assert f"{len(grown)} of {len(grown)} weights loaded; training starts at step 0" in again
    assert val_psnr(again) > val_psnr(output) - 2
    name = {"tensorf": "density_planes.0", "voxels": "density_table"}[model]
    after = weights(folder / f"ckpts/{model}_again/last.ckpt")
    assert after[f"nerf_coarse.{name}"].shape == grown[f"nerf_coarse.{name}"].shape


@pytest.mark.parametrize("model", ["tensorf", "voxels"])
def test_the_path_is_rendered_without_the_scene(folder, trained, tmp_path, model):
    checkpoint, _ = trained(model)
    command(
        *(tmp_path, "eval", "--ckpt_path", str(folder / checkpoint), "--accelerator", "cpu"),
        *("--split", "path", "--n_frames", "2", "--img_wh", "12", "12"),
    )
    assert list(tmp_path.rglob("path/ball.gif"))


def test_weights_of_another_model_are_refused(folder, trained):
    checkpoint, _ = trained("voxels")
    with pytest.raises(UserError, match="does not fit the network"):
        command(folder, "train", "--ckpt_path", checkpoint, "--model", "nerf")
    with pytest.raises(UserError, match="--sampler means nothing with --model voxels"):
        command(folder, "eval", "--ckpt_path", checkpoint, "--sampler", "hierarchical")


def test_a_network_of_two_passes_renders_through_occupancy_and_back(folder, trained):
    command(
        *(folder, "train", *COMMON, *SMALL, "--N_importance", "16", "--batch_size", "500"),
        *("--max_steps", "150", "--noise_std", "0", "--exp_name", "passes"),
    )
    for checkpoint, other in (
        ("ckpts/passes/last.ckpt", "occupancy"),
        (trained("nerf")[0], "hierarchical"),
    ):
        common = ("--ckpt_path", checkpoint, "--N_samples", "64", "--split", "test")
        own, changed = (
            found(r"PSNR ([\d.]+) dB", command(folder, "eval", *common, *sampler))
            for sampler in ((), ("--sampler", other))
        )
        assert abs(own - changed) < 1.0, checkpoint


@pytest.mark.parametrize(
    "options",
    [
        options_of(**SMALL_NERF, N_samples=8, N_importance=8),
        options_of(**SMALL_NERF, sampler="occupancy"),
        options_of("tensorf", resolution=32),
        options_of("tensorf", resolution=32, sampler="hierarchical", N_samples=8),
        options_of("voxels", resolution=32),
    ],
    ids=lambda options: f"{options.model} {getattr(options.config, 'sampler', '')}".strip(),
)
@pytest.mark.parametrize("half", [False, True])
def test_a_step_before_random_colours_gives_gradients(folder, options, half):
    """Single precision outside the networks: sums along rays are not taken in half precision."""
    torch.manual_seed(0)
    scene = load_scene(SceneConfig(root_dir=str(folder / "ball")))
    fields, renderer = build(options, scene)
    rays = image_rays(scene.cameras, scene.bounds, scene.splits["train"][0])[::8]
    colours = torch.rand(len(rays), 3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        outputs = renderer.render_train(rays, training_mode(0, 1.0, background=colours))
        loss = loss_dict["mse"](outputs, 1 - colours)
    default = getattr(options.config, "sampler", None) != "hierarchical"
    for output in outputs.values():
        assert {x.dtype for x in (output.rgb, output.depth, output.opacity)} == {torch.float32}
        if options.model != "nerf" and default:  # these are clear at first
            behind = (1 - output.opacity[:, None]) * colours
            assert float((output.rgb - behind).detach().abs().max()) < 0.1
    loss.backward()
    for name, parameter in torch.nn.ModuleDict(fields).named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.to_dense().isfinite().all(), name


@pytest.mark.parametrize("model", RUNS)
def test_mixed_precision_trains(folder, model):
    flags = ("--max_steps", "1", "--precision", "bf16-mixed", "--exp_name", "half")
    command(folder, "train", *COMMON, *RUNS[model], "--val_every_steps", "1", *flags)
    assert all(x.isfinite().all() for x in weights(folder / "ckpts/half/last.ckpt").values())


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
import torch
import train
from errors import run_command
from training.distributed.processes import should_report, rank

def keep(system):
    torch.save(system.state_dict(), f"rank{{rank()}}.pt")

train.NeRFSystem.on_train_end = keep
run_command(train.main, should_report)
"""


@pytest.mark.parametrize("model", ["voxels", "tensorf"])
def test_two_processes_train_one_field(folder, model):
    """Tables that grow are none of DDP's: their gradients are averaged all the same."""
    script = folder / "two.py"
    script.write_text(SCRIPT.format(root=str(ROOT)))
    runs = {
        "voxels": ("--model", "voxels", "--resolution", "32", "--max_steps", "280"),
        "tensorf": ("--model", "tensorf", "--resolution", "32", "--max_steps", "52"),
    }
    output = subprocess.run(
        [
            *(sys.executable, script, *COMMON, *runs[model], "--exp_name", f"{model}_two"),
            *("--num_gpus", "2", "--batch_size", "100"),
        ],
        **{"cwd": folder, "capture_output": True, "text": True, "timeout": 300},
    )
    assert output.returncode == 0, output.stderr
    first, second = (torch.load(folder / f"rank{i}.pt", weights_only=True) for i in range(2))
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key
    alone = command(
        *(folder, "train", *COMMON, *runs[model], "--batch_size", "200"),
        *("--exp_name", f"{model}_one"),
    )
    one = weights(folder / f"ckpts/{model}_one/last.ckpt")
    for key in ("nerf_coarse.density_table", "nerf_coarse.density_planes.0"):
        if key in one:  # grown as far, to nearly as many cells
            assert abs(len(one[key]) - len(first[key])) < 0.1 * len(one[key])
    assert abs(val_psnr(output.stdout) - val_psnr(alone)) < 1.0
