"""The exposure that training photos nearby lead to expect of a view."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from errors import UserError
from models.appearance.nearby import expected
from tests.helpers.runs import command
from tests.scenes import circle_poses, write_llff


def around(count: int) -> torch.Tensor:
    return torch.from_numpy(circle_poses(count)).float()


def tone(poses: torch.Tensor) -> torch.Tensor:
    """Values that change slowly along the circle, of mean zero."""
    values = poses[:, :2, 3] / 20
    return values - values.mean(dim=0)


def test_what_changes_slowly_is_expected_between_the_photos():
    poses = around(48)
    photos, views = poses[::2], poses[1::2]
    found = expected(tone(photos), photos, views)
    torch.testing.assert_close(found, tone(views), atol=0.01, rtol=0)
    assert float(tone(views).abs().max()) > 0.19  # of a capture that is not all alike


def test_what_is_random_is_hardly_expected():
    poses = around(80)
    photos, views = poses[::2], poses[1::2]
    values = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    found = expected(values - values.mean(dim=0), photos, views)
    assert float(found.square().mean()) < 0.1


def test_a_training_photo_has_its_own():
    photos = around(12)
    values = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    values -= values.mean(dim=0)
    torch.testing.assert_close(expected(values, photos, photos), values, atol=1e-4, rtol=1e-4)


def test_the_unit_of_the_scene_does_not_matter():
    poses = around(48)
    photos, views = poses[::2], poses[1::2]
    far = poses.clone()
    far[:, :, 3] = 100 * far[:, :, 3] + 7
    torch.testing.assert_close(
        expected(tone(photos), far[::2], far[1::2]), expected(tone(photos), photos, views)
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_photos_or_cameras_in_one_place(count):
    photos, view = around(count), around(7)[3:4]
    values = torch.arange(count).float()[:, None] - (count - 1) / 2
    found = expected(values, photos, view)
    assert bool(found.isfinite().all())
    assert float(found.abs()) <= float(values.abs().max())
    if count < 3:  # nothing tells whether one photo's exposure is another's
        assert float(found.abs()) == 0
    tripod = photos[:1].expand(count, 3, 4)
    torch.testing.assert_close(
        expected(values, tripod, photos[:1]), torch.zeros(1, 1), atol=1e-5, rtol=0
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A short run on photos of a place, whose exposures change slowly from photo to photo."""
    folder = tmp_path_factory.mktemp("place")
    write_llff(folder / "ball", circle_poses(24))
    for photo in (folder / "ball/images").iterdir():  # grey rooms show their exposure
        Image.fromarray(100 + np.asarray(Image.open(photo)) // 4).save(photo)
    options = ["--dataset_name", "llff", "--root_dir", "ball", "--model", "voxels"]
    options += ["--resolution", "24", "--accelerator", "cpu", "--no_restart"]
    command(folder, "train", *options, "--max_steps", "30", "--exp_name", "ball")
    path = folder / "ckpts/ball/last.ckpt"
    content = torch.load(path, weights_only=True)
    state = content["state_dict"]
    assert state["appearance.log_gain"].shape == (21, 3)  # every 8th is held out
    for name, strength in (("even", 0.0), ("slow", 1.0)):
        train = [i for i in range(24) if i % 8]
        gains = strength * tone(around(24)[train])
        state["appearance.log_gain"] = gains[:, :1].expand(-1, 3).contiguous()
        state["appearance.offset"] = torch.zeros(21, 3)
        torch.save(content, folder / f"{name}.ckpt")
    return folder


def images(place: Path, name: str, split: str, *args: str) -> list[np.ndarray]:
    """The views of a split, as eval.py writes them."""
    words = ("--ckpt_path", f"{name}.ckpt", "--out_dir", name, "--split", split)
    command(place, "eval", *words, *args)
    files = sorted((place / name / split).glob("0*.png"))
    return [np.asarray(Image.open(file)).astype(float) for file in files]


@pytest.mark.parametrize("split", ["test", "train"])
def test_views_are_exposed_as_their_neighbours_and_said_to_be(place, split):
    even, slow = (images(place, name, split) for name in ("even", "slow"))
    numbers = [i for i in range(24) if (i % 8 == 0) == (split == "test")]
    wanted = np.exp(tone(around(24))[numbers, 0].numpy())
    for a, b, gain in zip(even, slow, wanted, strict=True):
        inside = (a > 20) & (a < 200)
        assert inside.sum() > 100
        assert np.median(b[inside] / a[inside]) == pytest.approx(gain, abs=0.03)
    report = json.loads((place / f"slow/{split}/metrics.json").read_text())
    assert "exposed as the training photos nearby lead to expect" in report["protocol"]


def test_a_flight_keeps_the_mean_exposure(place):
    even, slow = (images(place, name, "path", "--n_frames", "2") for name in ("even", "slow"))
    assert len(even) == len(slow) == 2
    assert np.array_equal(even, slow)


def test_exposures_of_other_photos_end_in_one_line(place):
    content = torch.load(place / "slow.ckpt", weights_only=True)
    content["state_dict"]["appearance.log_gain"] = torch.zeros(5, 3)
    torch.save(content, place / "other.ckpt")
    with pytest.raises(UserError, match="exposures are not those of its photos"):
        command(place, "eval", "--ckpt_path", "other.ckpt")
