"""Options: flags, defaults, presets, and those of a model alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import parse, to_dict
from datasets.config import SceneConfig
from errors import UserError
from opt import EvalOptions, TrainOptions, from_dict
from tests.helpers.commands import run


def test_flags_of_nerf_pl_keep_their_meaning():
    options = parse(
        TrainOptions,
        [
            *("--root_dir", "x", "--dataset_name", "llff", "--img_wh", "504", "378"),
            *("--spheric_poses", "--N_samples", "32", "--N_importance", "64", "--use_disp"),
            *("--perturb", "0.5", "--noise_std", "0", "--loss_type", "mse", "--batch_size", "512"),
            *("--chunk", "1000", "--num_epochs", "3", "--num_gpus", "1", "--ckpt_path", "y"),
            *("--prefixes_to_ignore", "loss", "rgb", "--optimizer", "radam", "--lr", "1e-3"),
            *("--momentum", "0.8", "--weight_decay", "0.1", "--lr_scheduler", "poly"),
            *("--warmup_multiplier", "2", "--warmup_epochs", "1", "--decay_step", "2", "4", "8"),
            *("--decay_gamma", "0.5", "--poly_exp", "0.8", "--exp_name", "name"),
        ],
    )
    assert options.img_wh == (504, 378)
    assert options.spheric_poses is True
    assert options.use_disp is True
    assert options.prefixes_to_ignore == ("loss", "rgb")
    assert options.decay_step == (2, 4, 8)
    assert from_dict(TrainOptions, to_dict(options)) == options


@pytest.mark.parametrize(
    ("args", "state"),
    [([], None), (["--spheric_poses"], True), (["--spheric_poses", "False"], False)],
)
def test_a_switch_has_three_states(args, state):
    assert parse(TrainOptions, args).spheric_poses is state


def test_a_checkpoints_options_are_defaults():
    kept = TrainOptions(root_dir="a", lr=0.1)
    options = parse(TrainOptions, ["--root_dir", "b"], default=kept)
    assert (options.root_dir, options.lr) == ("b", 0.1)


def test_defaults_are_the_papers():
    options = TrainOptions()
    assert (options.N_samples, options.N_importance) == (64, 128)
    assert (options.netdepth, options.netwidth, options.netskip) == (8, 256, 4)
    assert EvalOptions(ckpt_path="x").split is None


def test_options_refuse_nonsense_where_they_are_made():
    with pytest.raises(UserError, match="--img_wh"):
        SceneConfig(img_wh=(0, 5))
    with pytest.raises(UserError, match="--holdout"):
        SceneConfig(holdout=1)


def test_help_names_every_option():
    text = run(Path.cwd(), "train.py", "--help").stdout
    for name in to_dict(TrainOptions()):
        assert f"--{name}" in text
