"""A checkpoint describes itself: its recipe wins over today's, and older formats still load."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from api import load
from errors import UserError
from models import find_model
from models.voxels import recipe as voxel_recipes
from tests.helpers.models import SMALL_NERF
from tests.helpers.runs import command
from tests.scenes import circle_poses, write_blender, write_llff
from training.checkpoints import FORMAT_VERSION, PACKED_VERSION, read_checkpoint

SMALL = [word for name, value in SMALL_NERF.items() for word in (f"--{name}", str(value))]
FEW = ("--N_samples", "8", "--N_importance", "8")
OBJECT = ("--root_dir", "ball")
PLACE = ("--root_dir", "place", "--dataset_name", "llff")
RUNS = {
    "nerf": (*OBJECT, *SMALL, *FEW),
    "occupancy": (*OBJECT, *SMALL, "--sampler", "occupancy"),
    "tensorf": (*OBJECT, "--model", "tensorf", "--resolution", "32", "--batch_size", "100"),
    "voxels": (*OBJECT, "--model", "voxels", "--resolution", "32"),
    "place": (*PLACE, "--model", "voxels", "--resolution", "32"),
}
# Options of all models, as format 1 had them beside one another.
FORMER_OPTIONS = {
    **{"sampler": None, "resolution": None, "N_samples": 64, "N_importance": 128},
    **{"use_disp": False, "chunk": 32768, "netdepth": 8, "netwidth": 256, "netskip": 4},
    **{"N_emb_xyz": 10, "N_emb_dir": 4, "distortion": None},
}
FORMER_REGION = {"z_anisotropy": "flat", "pixel_footprint": "pixel", "near_clip": "clear"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With the checkpoint of a few steps of each run."""
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball")
    write_llff(folder / "place", circle_poses(10))
    for name, words in RUNS.items():
        common = ("--accelerator", "cpu", "--val_rays", "64", "--max_steps", "4")
        command(folder, "train", *words, *common, "--exp_name", name)
    return folder


def content_of(folder: Path, name: str) -> dict[str, Any]:
    return torch.load(folder / f"ckpts/{name}/last.ckpt", weights_only=True)


def picture(path: Path) -> torch.Tensor:
    """Colours, depth and opacity of a view, (height, width, 5)."""
    model = load(path, "cpu")
    image = model.render(model.scene.cameras[1:2])
    return torch.cat([image.rgb, image.depth[..., None], image.opacity[..., None]], dim=2)


def as_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """The same checkpoint as it was written before formats had a number."""
    former = copy.deepcopy(content)
    del former["format_version"], former["recipe"]
    state, scene = former["state_dict"], former["scene"]
    if "nerf_coarse.background_sh" in state:
        state["nerf_coarse.unseen"] = state.pop("nerf_coarse.background_sh")
    options = former["hyper_parameters"]
    for name in ("val_holdout",):
        del options[name]
    # Samplers were the models' own unless they were asked for.
    by_default = options["model"] != "nerf" or options["sampler"] == "hierarchical"
    former["hyper_parameters"] = {**FORMER_OPTIONS, **options}
    if by_default:
        former["hyper_parameters"]["sampler"] = None
    kept = ("name", "cameras", "names", "splits", "bounds", "background", "to_input", "up")
    region = {FORMER_REGION.get(name, name): value for name, value in scene["region"].items()}
    former["scene"] = {
        **{name: scene[name] for name in kept},
        **{"cutout": scene["foreground_only"], "region": region},
    }
    return former


@pytest.mark.parametrize("name", RUNS)
def test_a_checkpoint_holds_its_format_and_its_recipe(folder, name):
    content = content_of(folder, name)
    assert content["format_version"] == FORMAT_VERSION
    spec = find_model(content["hyper_parameters"]["model"])
    assert asdict(spec.load_recipe(content["recipe"])) == content["recipe"]


@pytest.mark.parametrize("name", RUNS)
def test_a_checkpoint_of_format_1_shows_the_same(folder, tmp_path, name):
    torch.save(as_format_1(content_of(folder, name)), tmp_path / "former.ckpt")
    ours = picture(folder / f"ckpts/{name}/last.ckpt")
    assert torch.equal(picture(tmp_path / "former.ckpt"), ours)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_format_1_goes_on(folder, name):
    torch.save(as_format_1(content_of(folder, name)), folder / "former.ckpt")
    args = ("--ckpt_path", "former.ckpt", "--exp_name", f"{name}_on", "--max_steps", "6")
    assert "training starts at step 0" not in command(folder, "train", *args)
    ours = content_of(folder, f"{name}_on")
    assert (ours["global_step"], ours["format_version"]) == (6, FORMAT_VERSION)
    args = ("--ckpt_path", f"ckpts/{name}/last.ckpt", "--exp_name", name, "--max_steps", "6")
    command(folder, "train", *args)
    for key, value in content_of(folder, name)["state_dict"].items():
        assert torch.equal(ours["state_dict"][key], value), key


def test_a_checkpoint_shows_the_same_after_later_tuning(folder, monkeypatch):
    path = folder / "ckpts/place/last.ckpt"
    before = picture(path)
    tuned = {"view_dependence": 2.0, "step": 0.4, "weight_threshold": 0.5, "early_stop_eps": 0.3}
    for kind in ("OBJECT", "FORWARD_FACING", "UNBOUNDED"):
        recipe = getattr(voxel_recipes, kind)
        monkeypatch.setattr(voxel_recipes, kind, replace(recipe, **tuned))
    assert torch.equal(picture(path), before)


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("occupancy", {"march": {"step": 0.2}}),
        ("tensorf", {"march": {"step": 0.2}}),
        ("voxels", {"step": 0.2, "view_dependence": 3.0}),
    ],
)
def test_constants_of_the_checkpoint_win(folder, tmp_path, name, constants):
    content = content_of(folder, name)
    for key, value in constants.items():
        assert key in content["recipe"]
        old = content["recipe"][key]
        content["recipe"][key] = {**old, **value} if isinstance(value, dict) else value
    torch.save(content, tmp_path / "other.ckpt")
    ours = picture(folder / f"ckpts/{name}/last.ckpt")
    assert not torch.equal(picture(tmp_path / "other.ckpt"), ours)


@pytest.mark.parametrize("name", ["occupancy", "place"])
def test_exported_weights_show_the_same(folder, name):
    args = ("--ckpt_path", f"ckpts/{name}/last.ckpt", "--export_weights", f"{name}.ckpt")
    command(folder, "eval", *args)
    exported = read_checkpoint(folder / f"{name}.ckpt")
    assert exported.recipe == content_of(folder, name)["recipe"]
    assert not exported.resumable
    ours = picture(folder / f"ckpts/{name}/last.ckpt")
    error = (picture(folder / f"{name}.ckpt") - ours).square().mean()
    assert float(error) < 10**-4.5
    command(folder, "eval", *args, "--export_mb", "0")
    assert torch.equal(picture(folder / f"{name}.ckpt"), ours)


@pytest.mark.parametrize("version", [PACKED_VERSION + 1, "3.0", None])
def test_a_newer_format_is_refused_in_one_line(folder, tmp_path, version):
    content = content_of(folder, "voxels")
    content["format_version"] = version
    torch.save(content, tmp_path / "newer.ckpt")
    with pytest.raises(UserError, match="newer version of this project") as caught:
        read_checkpoint(tmp_path / "newer.ckpt")
    assert "newer.ckpt" in str(caught.value)
    assert "\n" not in str(caught.value)
