"""Whole commands on the demo scene with disturbed poses: training brings them back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from api import load
from datasets.demo.scene import write_demo_scene
from errors import UserError
from geometry.cameras import camera_to_pixel, inverse_transform
from geometry.motion import rotation
from models.refinement.preconditioner import visible_points
from tests.helpers.ball_scenes import input_poses
from tests.helpers.ball_scenes import load as load_files
from tests.helpers.commands import weights
from tests.helpers.runs import command, val_psnr

STEPS = 260
RUN = (
    *("--model", "voxels", "--accelerator", "cpu", "--resolution", "96", "--val_rays", "64"),
    *("--max_steps", str(STEPS), "--seed", "1"),
)


def disturb(root: Path, splits: tuple[str, ...], degrees: float, share: float) -> None:
    """Turn cameras by so many degrees, and shift them by a share of their distance."""
    generator = np.random.default_rng(0)
    for split in splits:
        path = root / f"transforms_{split}.json"
        meta = json.loads(path.read_text())
        del meta["scene"]
        for frame in meta["frames"]:
            pose = np.array(frame["transform_matrix"])
            turn, shift = (v / np.linalg.norm(v) for v in generator.normal(size=(2, 3)))
            turned = rotation(torch.from_numpy(np.radians(degrees) * turn)).numpy()
            pose[:3, :3] = turned @ pose[:3, :3]
            pose[:3, 3] += share * np.linalg.norm(pose[:3, 3]) * shift
            frame["transform_matrix"] = pose.tolist()
        path.write_text(json.dumps(meta))


def pixels_off(true: Path, poses: np.ndarray) -> float:
    """Median over the training photos of how far the subject is seen from where it should be.

    After the similarity that brings the cameras as near as it goes to the true ones: where all of
    them are together, no photo tells.
    """
    scene = load_files(true, "blender")
    train = scene.cameras[scene.splits["train"]]
    assert scene.region is not None
    points = visible_points(train, scene.bounds, scene.region)[:, 25:50]  # at its distance
    wanted, moved = train.c2w.double(), torch.from_numpy(poses)
    u, _, vt = torch.linalg.svd((wanted[:, :, :3] @ moved[:, :, :3].mT).mean(dim=0))
    moved = (u @ vt) @ moved
    a, b = (c2w[:, :, 3] - c2w[:, :, 3].mean(dim=0) for c2w in (moved, wanted))
    scale = (a * b).sum() / a.square().sum()
    moved = torch.cat([moved[:, :, :3], (wanted[:, :, 3] - b + scale * a)[:, :, None]], dim=2)
    seen = [
        camera_to_pixel(train.intrinsics.double(), inverse_transform(c2w, points))[0]
        for c2w in (wanted, moved)
    ]
    return float((seen[0] - seen[1]).norm(dim=-1).mean(dim=1).median())


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """The scene, exact and disturbed; what runs on the latter said, without and with refinement."""
    folder = tmp_path_factory.mktemp("poses")
    write_demo_scene(folder / "exact", size=64, train=20, val=1, test=1, supersampling=2)
    shutil.copytree(folder / "exact", folder / "off")
    disturb(folder / "off", ("train", "val", "test"), degrees=1.0, share=0.02)
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.refinement.cameras.POSE_RATE", 5e-4)  # of a run so short
        for name, more in (("given", []), ("refined", ["--refine_poses"])):
            options = ("--root_dir", "off", "--dataset_name", "blender", "--exp_name", name)
            said[name] = command(folder, "train", *options, *RUN, *more)
    return folder, said


def test_refinement_brings_disturbed_cameras_back(runs):
    folder, said = runs
    given = pixels_off(folder / "exact", input_poses(load_files(folder / "off", "blender"))[:20])
    model = load(folder / "ckpts/refined/last.ckpt")
    refined = pixels_off(folder / "exact", input_poses(model.scene)[:20])
    assert given > 1
    assert refined < 0.5 * given
    assert val_psnr(said["refined"]) > val_psnr(said["given"]) + 1
    assert "each from its camera as fitted to its photo" in said["refined"]
    assert "fitted" not in said["given"]


def test_evaluation_fits_held_out_cameras_and_says_so(runs):
    folder, _ = runs
    reports = {}
    for name in ("given", "refined"):
        printed = command(
            folder, "eval", "--ckpt_path", f"ckpts/{name}/last.ckpt", "--split", "test"
        )
        report = json.loads((folder / "results/blender/off/test/metrics.json").read_text())
        assert ("cameras fitted to their own photos" in printed) == (name == "refined")
        assert ("fitted to its own photo" in report["protocol"]) == (name == "refined")
        reports[name] = report
    moved = reports["refined"]["held_out_cameras_fitted"]
    assert "held_out_cameras_fitted" not in reports["given"]
    assert 0.1 < moved["median_degrees"] < 4
    assert reports["refined"]["mean"]["psnr"] > reports["given"]["mean"]["psnr"] + 1


def test_refined_cameras_are_written_for_others(runs):
    folder, _ = runs
    path = folder / "again/transforms.json"
    said = command(
        *(folder, "eval", "--ckpt_path", "ckpts/refined/last.ckpt", "--save_poses", str(path))
    )
    assert "20 refined cameras, 2 fitted to their photos" in said
    scene, model = load_files(path.parent, "transforms"), load(folder / "ckpts/refined/last.ckpt")
    assert {name: len(views) for name, views in scene.splits.items()} == {
        "train": 20, "val": 1, "test": 1,
    }  # fmt: skip
    train, expected = scene.splits["train"], input_poses(model.scene)[:20]
    np.testing.assert_allclose(input_poses(scene)[train], expected, atol=1e-5)
    focal = model.scene.cameras.intrinsics[0, 0]
    torch.testing.assert_close(scene.cameras.intrinsics[0, 0], focal, rtol=0.03, atol=0)
    with pytest.raises(UserError, match=r"not of a train\.py"):
        command(
            *(folder, "eval", "--ckpt_path", "ckpts/given/last.ckpt", "--save_poses", str(path))
        )
    with pytest.raises(UserError, match=r"must name a transforms\.json"):
        command(
            *(folder, "eval", "--ckpt_path", "ckpts/refined/last.ckpt", "--save_poses", "x.json")
        )


def test_a_stopped_run_goes_on_as_if_it_had_not_been(runs):
    folder, _ = runs
    options = (
        *("--root_dir", "off", "--dataset_name", "blender", "--exp_name", "stopped"),
        *(*RUN, "--max_steps", "50", "--refine_poses"),
        *("--val_every_steps", "30", "--save_top_k", "-1"),
    )
    command(folder, "train", *options)
    whole = weights(folder / "ckpts/stopped/last.ckpt")
    half = next((folder / "ckpts/stopped").glob("*step=30.ckpt"))
    shutil.copy(half, folder / "half.ckpt")
    command(folder, "train", "--ckpt_path", "half.ckpt")
    again = weights(folder / "ckpts/stopped/last.ckpt")
    assert whole["refinement.pose"].abs().max() > 0
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_mistakes_end_in_one_line(runs):
    folder, _ = runs
    with pytest.raises(UserError, match="refine_poses means nothing with --model tensorf"):
        command(folder, "train", "--model", "tensorf", "--root_dir", "off", "--refine_poses")


def test_the_paper_s_network_refines_too(runs):
    folder, _ = runs
    command(
        *(folder, "train", "--root_dir", "off", "--exp_name", "nerf", "--max_steps", "4"),
        *("--netdepth", "2", "--netwidth", "16", "--netskip", "1", "--N_samples", "8"),
        *("--N_importance", "8", "--batch_size", "200", "--val_rays", "64", "--refine_poses"),
        *("--accelerator", "cpu", "--no_restart"),
    )
    assert weights(folder / "ckpts/nerf/last.ckpt")["refinement.pose"].abs().max() > 0
