"""Whole commands in changing light."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import Trainer

from benchmarks.changing_light import relight
from datasets import load_scene
from datasets.config import SceneConfig
from datasets.loaders.view_loader import ViewLoader
from errors import UserError
from models.appearance.exposure import Appearance
from tests.helpers.commands import TINY
from tests.helpers.models import SMALL_NERF, build
from tests.helpers.runs import command
from tests.scenes import write_blender
from train import NeRFSystem
from training.validation import Validation


@pytest.fixture(scope="module")
def relit(tmp_path_factory):
    """A folder with a ball in changing light and a run on it; the true gains of its photos."""
    folder = tmp_path_factory.mktemp("light")
    write_blender(folder / "ball", train=16)
    for path in (folder / "ball").glob("*/*.png"):
        # Stripes: the ball's own colours are another mean on each side, as if by another light.
        image = np.asarray(Image.open(path)).copy()
        normal = image[..., :3] / 127.5 - 1
        image[..., :3] = 90 + 60 * np.sin(6 * normal)
        Image.fromarray(image).save(path)
    relight(folder / "ball", folder / "lit", seed=1)
    command(
        *(folder, "train", "--root_dir", "lit", "--exp_name", "lit", "--max_steps", "800"),
        *(*TINY, "--val_every_steps", "800", "--lr", "2e-3", "--encode_appearance"),
        *("--N_importance", "0", "--N_samples", "24", "--netwidth", "32", "--no_restart"),
        *("--N_emb_xyz", "5", "--decay_step", "100"),
    )
    return folder, json.loads((folder / "lit/changing_light.json").read_text())["gains"]


def test_relit_scene_differs_in_colour_alone(relit):
    folder, gains = relit
    assert len(gains) == 21
    for name, gain in gains.items():
        original, lit = (np.asarray(Image.open(folder / x / name)) for x in ("ball", "lit"))
        expected = (original[..., :3] * np.array(gain)).clip(0, 255)
        assert np.abs(lit[..., :3] - expected).max() <= 0.51
        assert np.array_equal(lit[..., 3], original[..., 3])
    with pytest.raises(UserError, match="exists already"):
        relight(folder / "lit", folder / "ball", seed=0)
    with pytest.raises(UserError, match="has no transforms"):
        relight(folder, folder / "other", seed=0)
    assert not (folder / "other").exists()


def test_training_recovers_the_relative_exposures(relit):
    folder, gains = relit
    state = torch.load(folder / "ckpts/lit/last.ckpt", weights_only=True)["state_dict"]
    found = state["appearance.log_gain"].numpy()
    true = np.log([gains[f"train/r_{i}.png"] for i in range(16)])
    found, true = (x - x.mean(axis=0) for x in (found, true))
    assert np.corrcoef(found.ravel(), true.ravel())[0, 1] > 0.9
    assert np.abs(found - true).mean() < 0.5 * np.abs(true).mean()


def test_evaluation_measures_right_halves_and_says_so(relit):
    folder, _ = relit
    command(folder, "eval", "--ckpt_path", "ckpts/lit/last.ckpt", "--split", "test")
    results = folder / "results/blender/lit/test"
    report = json.loads((results / "metrics.json").read_text())
    assert "fitted on the photo's left half" in report["protocol"]
    assert "published" not in report
    saved = np.asarray(Image.open(results / "000.png"))
    assert saved.shape == (24, 24, 3)
    photo = np.asarray(Image.open(folder / "lit/test/r_0.png")).astype(float)
    photo = photo[..., :3] * photo[..., 3:] / 255 + 255 - photo[..., 3:]
    whole = -10 * np.log10((((saved - photo) / 255) ** 2).mean())
    assert report["views"][0]["psnr"] > whole  # the light of this photo is not the mean


def test_run_resumes_and_other_photos_have_exposures_of_their_own(relit):
    folder, _ = relit
    command(folder, "train", "--ckpt_path", "ckpts/lit/last.ckpt", "--max_steps", "802")
    state = torch.load(folder / "ckpts/lit/last.ckpt", weights_only=True)
    assert state["global_step"] == 802
    write_blender(folder / "fewer", train=5)
    other = ["--ckpt_path", "ckpts/lit/last.ckpt", "--root_dir", "fewer", "--exp_name", "fewer"]
    said = command(folder, "train", *other, "--max_steps", "3")
    assert "of another scene; training starts at step 0" in said
    state = torch.load(folder / "ckpts/fewer/last.ckpt", weights_only=True)
    assert state["state_dict"]["appearance.log_gain"].shape == (5, 3)


def test_mistakes_end_in_one_line(tmp_path: Path):
    write_blender(tmp_path / "ball", train=1, val=1, test=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="must not be the scene itself"):
        relight(tmp_path / "ball", tmp_path / "ball", 0)
    with pytest.raises(UserError, match="has no transforms"):
        relight(tmp_path / "empty", tmp_path / "out", 0)


def test_masked_capture_is_relit_and_validated_without_its_masked_pixels(tmp_path: Path):
    """transforms.json with JPEGs and masks: what is under a mask changes nothing."""
    write_blender(tmp_path / "ball", train=8, val=1, test=1)
    root = tmp_path / "capture"
    (root / "masks").mkdir(parents=True)
    meta = json.loads((tmp_path / "ball/transforms_train.json").read_text())
    for i, frame in enumerate(meta["frames"]):
        with Image.open(tmp_path / f"ball/train/r_{i}.png") as image:
            image.convert("RGB").save(root / f"{i}.jpg")
        mask = np.full((24, 24), 255, dtype=np.uint8)
        mask[:, :6] = 0
        Image.fromarray(mask).save(root / f"masks/{i}.png")
        frame |= {"file_path": f"./{i}.jpg", "mask_path": f"masks/{i}.png"}
    (root / "transforms.json").write_text(json.dumps(meta))
    relight(root, tmp_path / "lit", seed=0)

    options = SceneConfig(root_dir=str(tmp_path / "lit"), dataset_name="transforms")
    scene, original = load_scene(options), load_scene(replace(options, root_dir=str(root)))
    assert torch.equal(scene.cameras.c2w, original.cameras.c2w)
    photos = scene.photos(scene.splits["val"])
    assert photos.valid is not None
    assert int((~photos.valid).sum()) == len(photos) * 24 * 6

    batch = next(iter(ViewLoader(photos, scene.cameras[scene.splits["val"]], scene.bounds)))
    assert batch.valid is not None
    assert torch.equal(batch.valid, photos.valid)
    coarse = next(iter(ViewLoader(photos, scene.cameras, scene.bounds, max_rays=100)))
    assert coarse.valid is not None
    assert len(coarse.valid) == len(coarse.rgbs)

    few = {"N_samples": 4, "N_importance": 0, "encode_appearance": True}
    system = NeRFSystem(**SMALL_NERF, **few)
    system.scene, system.appearance = scene, Appearance(1)
    system.validation = Validation(scene, 2, right_half=True)
    _, system.renderer = build(system.options, scene)
    system.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    figures = []
    for spoilt in (0.0, 1.0):
        rgbs = batch.rgbs.clone()
        rgbs[~batch.valid] = spoilt
        system.on_validation_epoch_start()
        system.validation_step(replace(batch, rgbs=rgbs), 0)
        figures.append(system.validation.means(0))
    assert figures[0] == figures[1]
