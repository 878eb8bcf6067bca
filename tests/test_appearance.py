"""Exposure and colour per photo: the fit, the gauge, and whole commands in changing light."""

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
from cli import to_dict
from datasets import load_scene
from datasets.config import SceneConfig
from datasets.loaders.view_loader import ViewLoader
from errors import UserError
from eval import View, right_half
from models import build_fields, build_renderer
from models.appearance.exposure import (
    SMALL_CHANGE_DECAY,
    Appearance,
    expose,
    fit_exposure,
    match_halves,
)
from opt import TrainOptions
from tests.scenes import write_blender
from tests.test_training import TINY, run
from train import NeRFSystem

GAIN, OFFSET = torch.tensor([0.7, 1.2, 1.0]), torch.tensor([0.05, -0.1, 0.0])


def pixels(count: int = 2000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rendered colours on white and their opacity, some of it 0, some 1."""
    generator = torch.Generator().manual_seed(seed)
    opacity = (3 * torch.rand(count, generator=generator) - 1).clamp(0, 1)
    colour = torch.rand(count, 3, generator=generator)
    return colour * opacity[:, None] + 1 - opacity[:, None], opacity


def test_appearance_starts_as_the_identity_and_keeps_its_gauge():
    rgb, opacity = pixels()
    appearance = Appearance(5)
    image = torch.arange(len(rgb)) % 5
    torch.testing.assert_close(appearance(rgb, opacity, image, 1.0), rgb)
    with torch.no_grad():
        appearance.log_gain.normal_()
        appearance.offset.normal_()
    before = appearance(rgb, opacity, image, 1.0)
    assert not torch.allclose(before, rgb)
    with torch.no_grad():  # what all photos have in common is the field's
        appearance.log_gain.add_(0.3)
        appearance.offset.sub_(0.2)
    torch.testing.assert_close(appearance(rgb, opacity, image, 1.0), before)
    for values in appearance.centred():
        torch.testing.assert_close(values.mean(dim=0), torch.zeros(3))


def test_what_no_photo_tells_fades_and_what_photos_tell_stays():
    rgb, opacity = pixels()
    torch.manual_seed(0)
    true, appearance = Appearance(4), Appearance(4, SMALL_CHANGE_DECAY)
    with torch.no_grad():
        true.log_gain.normal_(0, 0.3)
        appearance.log_gain.normal_(0, 0.3)
    told = torch.arange(len(rgb)) % 2  # of photos 0 and 1 alone
    wanted = true(rgb, opacity, told, 1.0).detach()
    optimizer = torch.optim.Adam(appearance.parameter_groups(5e-4))
    for _ in range(2000):
        some = torch.randint(len(rgb), (200,))
        noise = 0.1 * torch.randn(200, 3)
        seen = appearance(rgb[some], opacity[some], told[some], 1.0)
        optimizer.zero_grad()
        (seen - wanted[some] + noise).square().mean().backward()
        gradient = appearance.log_gain.grad
        assert gradient is not None
        gradient[2:] = 0  # from the means that are subtracted
        optimizer.step()
        appearance.decay(5e-3)
    off = appearance.log_gain[0] - appearance.log_gain[1]
    off -= true.log_gain[0] - true.log_gain[1]
    assert float(off.detach().abs().max()) < 0.1
    assert float(appearance.log_gain[2:].detach().abs().max()) < 0.02


def test_gradients_reach_the_photos_of_the_batch_and_the_field():
    rgb, opacity = (x.double()[:20].requires_grad_() for x in pixels())
    appearance = Appearance(3).double()
    image = torch.arange(20) % 2
    assert torch.autograd.gradcheck(lambda r, o: appearance(r, o, image, 1.0), (rgb, opacity))
    (appearance(rgb, opacity, image, 1.0) - 0.3).square().sum().backward()
    for parameter in appearance.parameters():
        assert parameter.grad is not None
        assert (parameter.grad[:2].abs() > 1e-3).all()
        torch.testing.assert_close(parameter.grad.sum(dim=0), torch.zeros(3).double())


def test_background_is_not_exposed():
    seen = expose(torch.ones(4, 3), torch.zeros(4), 1.0, GAIN, OFFSET)
    torch.testing.assert_close(seen, torch.ones(4, 3))
    rgb = torch.rand(4, 3)
    torch.testing.assert_close(expose(rgb, torch.ones(4), 1.0, GAIN, OFFSET), GAIN * rgb + OFFSET)


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_fit_recovers_a_known_gain_and_offset(background):
    rgb, opacity = pixels()
    if background == 0:
        opacity = torch.ones_like(opacity)
    photo = expose(rgb, opacity, background, GAIN, OFFSET)
    gain, offset = fit_exposure(rgb, photo, opacity, background)
    torch.testing.assert_close(gain, GAIN, atol=2e-3, rtol=0)
    torch.testing.assert_close(offset, OFFSET, atol=2e-3, rtol=0)


@pytest.mark.parametrize("count", [0, 1, 500])
def test_fit_stays_near_the_identity_where_pixels_tell_nothing(count):
    """None, one, or many of one colour; the photo is met as far as it can be."""
    rgb, photo = torch.full((count, 3), 0.5), torch.full((count, 3), 0.6)
    gain, offset = fit_exposure(rgb, photo, torch.ones(count), 0.0)
    assert (gain - 1).abs().max() < 0.2
    assert offset.abs().max() < 0.2
    if count == 0:
        assert torch.equal(gain, torch.ones(3))
        assert torch.equal(offset, torch.zeros(3))
    if count == 500:
        torch.testing.assert_close(gain * 0.5 + offset, photo[0], atol=1e-3, rtol=0)
    background = fit_exposure(torch.ones(count, 3), torch.ones(count, 3), torch.zeros(count), 1.0)
    torch.testing.assert_close(
        torch.stack(background), torch.stack([torch.ones(3), torch.zeros(3)])
    )


def test_right_half_is_measured_with_the_left_halfs_fit():
    rgb, opacity = pixels(20 * 31)
    rgb, opacity = rgb.view(20, 31, 3), opacity.view(20, 31)
    photo = expose(rgb, opacity, 1.0, GAIN, OFFSET)
    valid = torch.ones(20, 31, dtype=torch.bool)
    valid[:5, :10] = False
    photo[:5, :10] = 0.0  # would spoil the fit
    spoiled, _, none = match_halves(rgb, photo, opacity, 1.0)
    assert none is None
    matched, right, mask = match_halves(rgb, photo, opacity, 1.0, valid)
    assert matched.shape == right.shape == (20, 16, 3)
    assert mask is not None
    assert mask.shape == (20, 16)
    assert (matched - right).abs().max() < 0.01 < (spoiled - right).abs().max()
    photo[:, 15:] = 0.0  # what is measured must not be fitted
    again, _, _ = match_halves(rgb, photo, opacity, 1.0, valid)
    assert torch.equal(again, matched)


@pytest.mark.parametrize("width", [1, 2])
def test_right_half_of_a_narrow_view(width):
    image = np.full((3, width, 3), 100, dtype=np.uint8)
    view = View(image, np.ones((3, width)), np.ones((3, width), dtype=np.float16), 0.0)
    got, photo, mask = right_half(view, image, np.zeros((3, width), dtype=bool), 0.0)
    assert np.array_equal(got, image[:, :1])
    assert photo.shape == got.shape
    assert mask is not None
    assert mask.shape == (3, 1)


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
    run(
        *(folder, "train.py", "--root_dir", "lit", "--exp_name", "lit", "--max_steps", "800"),
        *(*TINY, "--val_every_steps", "800", "--lr", "2e-3", "--encode_appearance"),
        *(
            "--N_importance",
            "0",
            "--N_samples",
            "24",
            "--netwidth",
            "32",
            "--no_restart",
            "--N_emb_xyz",
            "5",
            "--decay_step",
            "100",
        ),
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
    run(folder, "eval.py", "--ckpt_path", "ckpts/lit/last.ckpt")
    results = folder / "results/blender/lit"
    report = json.loads((results / "metrics.json").read_text())
    assert "fitted on the photo's left half" in report["protocol"]
    assert "published" not in report
    saved = np.asarray(Image.open(results / "000.png"))
    assert saved.shape == (24, 24, 3)
    photo = np.asarray(Image.open(folder / "lit/test/r_0.png")).astype(float)
    photo = photo[..., :3] * photo[..., 3:] / 255 + 255 - photo[..., 3:]
    whole = -10 * np.log10((((saved - photo) / 255) ** 2).mean())
    assert report["views"][0]["psnr"] > whole  # the light of this photo is not the mean
    run(
        folder,
        "eval.py",
        "--ckpt_path",
        "ckpts/lit/last.ckpt",
        "--path",
        "orbit",
        "--n_frames",
        "2",
    )


def test_run_resumes_and_other_photos_are_refused(relit):
    folder, _ = relit
    run(folder, "train.py", "--ckpt_path", "ckpts/lit/last.ckpt", "--max_steps", "802")
    state = torch.load(folder / "ckpts/lit/last.ckpt", weights_only=True)
    assert state["global_step"] == 802
    write_blender(folder / "fewer", train=5)
    other = ["--ckpt_path", "ckpts/lit/last.ckpt", "--root_dir", "fewer", "--exp_name", "fewer"]
    error = run(folder, "train.py", *other, "--max_steps", "3", code=2).stderr
    assert "appearance.log_gain (16, 3) does not fit" in error
    assert (
        "training starts at step 0"
        in run(
            *(folder, "train.py", *other, "--max_steps", "3", "--prefixes_to_ignore", "appearance"),
        ).stdout
    )


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

    train = TrainOptions(netdepth=2, netwidth=8, netskip=1, N_samples=4, N_importance=0)
    system = NeRFSystem(**to_dict(replace(train, encode_appearance=True)))
    system.scene, system.appearance, system.val_views = scene, Appearance(1), [0, 1]
    system.renderer = build_renderer(build_fields(system.options, scene), system.options, scene)
    system.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    figures = []
    for spoilt in (0.0, 1.0):
        rgbs = batch.rgbs.clone()
        rgbs[~batch.valid] = spoilt
        system.on_validation_epoch_start()
        system.validation_step(replace(batch, rgbs=rgbs), 1)
        figures.append(list(system.val_rows))
    assert len(figures[0]) == 1
    assert figures[0] == figures[1]
