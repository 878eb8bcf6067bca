"""Options: flags, defaults, presets, and those of a model alone."""

from __future__ import annotations

import pytest

from cli import to_dict
from datasets.config import SceneConfig
from errors import UserError
from models import model_dict
from opt import PRESETS, EvalOptions, TrainOptions, from_checkpoint, from_dict, parse_training
from tests.helpers.models import options_of


def test_flags_of_nerf_pl_keep_their_meaning():
    options = parse_training(
        [
            *("--root_dir", "x", "--dataset_name", "llff", "--img_wh", "504", "378"),
            *("--spheric_poses", "--N_samples", "32", "--N_importance", "64", "--use_disp"),
            *("--perturb", "0.5", "--noise_std", "0", "--loss_type", "mse", "--batch_size", "512"),
            *("--chunk", "1000", "--num_epochs", "3", "--num_gpus", "1", "--ckpt_path", "y"),
            *("--prefixes_to_ignore", "loss", "rgb", "--optimizer", "radam", "--lr", "1e-3"),
            *("--momentum", "0.8", "--weight_decay", "0.1", "--lr_scheduler", "poly"),
            *("--warmup_multiplier", "2", "--warmup_epochs", "1", "--decay_step", "2", "4", "8"),
            *("--decay_gamma", "0.5", "--poly_exp", "0.8", "--exp_name", "name"),
        ]
    )
    assert options.img_wh == (504, 378)
    assert options.spheric_poses is True
    assert options.config.use_disp is True
    assert (options.config.N_samples, options.config.chunk) == (32, 1000)
    assert options.prefixes_to_ignore == ("loss", "rgb")
    assert options.decay_step == (2, 4, 8)
    assert to_dict(from_dict(TrainOptions, to_dict(options))) == to_dict(options)


@pytest.mark.parametrize(
    ("args", "state"),
    [([], None), (["--spheric_poses"], True), (["--spheric_poses", "False"], False)],
)
def test_a_switch_has_three_states(args, state):
    assert parse_training(args).spheric_poses is state


def test_a_checkpoints_options_are_defaults():
    kept = options_of(root_dir="a", lr=0.1, N_samples=9)
    options = parse_training(["--root_dir", "b"], kept)
    assert (options.root_dir, options.lr, options.config.N_samples) == ("b", 0.1, 9)
    options = parse_training(["--N_samples", "7"], kept)
    assert (options.root_dir, options.config.N_samples) == ("a", 7)


def test_another_model_takes_the_common_options_of_a_checkpoint_alone():
    kept = options_of("tensorf", root_dir="a", resolution=64, sampler="hierarchical")
    options = parse_training(["--model", "voxels"], kept)
    assert (options.model, options.root_dir) == ("voxels", "a")
    assert isinstance(options.config, model_dict["voxels"].config)


def test_defaults_are_the_papers():
    config = TrainOptions().config
    assert (config.N_samples, config.N_importance) == (64, 128)
    assert (config.netdepth, config.netwidth, config.netskip) == (8, 256, 4)
    assert EvalOptions(ckpt_path="x").split is None


@pytest.mark.parametrize("model", model_dict)
def test_options_are_plain_values_and_come_back(model):
    options = options_of(model, root_dir="x", decay_step=[2, 4])
    assert from_dict(TrainOptions, to_dict(options)) == options


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_options(name):
    options = from_dict(TrainOptions, PRESETS[name])
    values = to_dict(options)
    for key, value in PRESETS[name].items():
        assert values[key] == value, key


@pytest.mark.parametrize(
    ("model", "args"),
    [
        ("nerf", ["--distortion", "0.01"]),
        ("nerf", ["--resolution", "64"]),
        ("voxels", ["--optimizer", "sgd"]),
        ("voxels", ["--N_samples", "32"]),
        ("voxels", ["--N_samples=32"]),
        ("voxels", ["--N-samples", "32"]),
        ("voxels", ["--sampler", "occupancy"]),
        ("voxels", ["--compile"]),
        ("tensorf", ["--noise_std", "0"]),
        ("tensorf", ["--netwidth", "32"]),
        ("tensorf", ["--decay_step", "2", "4"]),
    ],
)
def test_options_that_mean_nothing_with_the_model_are_refused(model, args):
    flag = args[0].split("=")[0].replace("-", "_").lstrip("_")
    with pytest.raises(UserError, match=f"--{flag}") as caught:
        parse_training(["--root_dir", "x", "--model", model, *args])
    assert f"means nothing with --model {model}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_of_a_checkpoints_model_are_judged_by_it():
    with pytest.raises(UserError, match="means nothing with --model voxels"):
        parse_training(["--N_samples", "32"], options_of("voxels"))
    assert parse_training(["--resolution", "32"], options_of("voxels")).config.resolution == 32


@pytest.mark.parametrize(
    ("model", "given"),
    [("voxels", {"N_samples": 4}), ("voxels", {"sampler": "occupancy"}), ("voxels", {"chunk": 9})],
)
def test_evaluation_refuses_what_the_model_does_not_have(model, given):
    with pytest.raises(UserError, match=f"means nothing with --model {model}"):
        EvalOptions(ckpt_path="x", **given).over(options_of(model))


def test_evaluation_goes_over_the_options_of_the_training():
    trained = options_of(N_samples=32, root_dir="a")
    options = EvalOptions(ckpt_path="x", N_samples=8, root_dir="b", use_disp=False).over(trained)
    assert (options.config.N_samples, options.root_dir) == (8, "b")
    assert options.config.N_importance == trained.config.N_importance
    assert EvalOptions(ckpt_path="x").over(trained) == trained


def test_options_refuse_nonsense_where_they_are_made():
    with pytest.raises(UserError, match="--img_wh"):
        SceneConfig(img_wh=(0, 5))
    with pytest.raises(UserError, match="--holdout"):
        SceneConfig(holdout=1)
    with pytest.raises(UserError, match="--val_holdout"):
        SceneConfig(val_holdout=1)
    with pytest.raises(UserError, match="--resolution"):
        options_of("voxels", resolution=8)
    with pytest.raises(UserError, match="--N_importance"):
        options_of("nerf", N_samples=2)
    with pytest.raises(UserError, match="--model zipnerf: not one of nerf, tensorf, voxels"):
        parse_training(["--model", "zipnerf"])


@pytest.mark.parametrize("model", model_dict)
def test_help_names_every_option(model, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_training(["--model", model, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for name in to_dict(options_of(model)):
        assert f"--{name}" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("lr", "fast"), ("lr", float("nan")), ("img_wh", [800]), ("netdepth", 2.5)),
        *(("seed", True), ("sampler", "x"), ("N_samples", 10**400), ("exp_name", {"a": 1})),
    ],
)
def test_values_that_no_option_has_are_named(name, value):
    """In a checkpoint's options, which nobody typed."""
    values = {**to_dict(TrainOptions()), name: value}
    with pytest.raises(UserError, match=rf"last.ckpt: damaged options \(--{name} cannot be"):
        from_checkpoint(values, "last.ckpt")


def test_help_has_groups_and_lists_the_models(capsys):
    with pytest.raises(SystemExit):
        parse_training(["--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    places = [text.index(f"{name} options") for name in ("scene", "model", "training", "output")]
    assert places == sorted(places)
    assert "python train.py --model voxels" in text
    for name, spec in model_dict.items():
        assert f"{name}: {spec.help}" in text
