"""A whole training on spoilt photos: what is said, and that saying it changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from geometry.motion import rotation
from tests.helpers.commands import weights
from tests.helpers.runs import command
from tests.scenes import write_blender
from training.ending import photo_table

BLURRED, PAINTED, TURNED = "train/r_3.png", "train/r_6.png", "train/r_9.png"
RUN = (
    *("--root_dir", "ball", "--dataset_name", "blender", "--model", "voxels", "--seed", "1"),
    *("--resolution", "64", "--accelerator", "cpu", "--val_rays", "64", "--max_steps", "150"),
)


def spoil(root: Path) -> None:
    """Blur one photo, paint into another, and turn the camera of a third by seven degrees."""
    image = np.asarray(Image.open(root / BLURRED))
    Image.fromarray(cv2.GaussianBlur(image, (0, 0), 2)).save(root / BLURRED)
    image = np.asarray(Image.open(root / PAINTED)).copy()
    image[8:14, 20:28] = (255, 0, 0, 255)
    Image.fromarray(image).save(root / PAINTED)
    path = root / "transforms_train.json"
    meta = json.loads(path.read_text())
    pose = np.array(meta["frames"][9]["transform_matrix"])
    pose[:3, :3] = pose[:3, :3] @ rotation(torch.tensor([0, 0.12, 0]).double()).numpy()
    meta["frames"][9]["transform_matrix"] = pose.tolist()
    path.write_text(json.dumps(meta))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, str, list]:
    """The folder of a training, what it said, and its state before and after it told causes."""
    folder = tmp_path_factory.mktemp("spoilt")
    spoil(write_blender(folder / "ball", size=32, train=16))
    tell, states = photo_table.tell_causes, []

    def watched(system, psnr):
        for _ in range(2):
            values = (value.clone() for value in system.state_dict().values())
            states.append([torch.get_rng_state(), *values])
            told = tell(system, psnr)
        return told

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photo_table, "tell_causes", watched)
        patch.setattr(photo_table, "_SECONDS", 60.0)  # however slow this machine is
        said = command(folder, "train", "--exp_name", "spoilt", *RUN)
    return folder, said, states


def test_photos_that_stand_out_are_told_with_their_causes(run):
    folder, said, _ = run
    rows = json.loads((folder / "logs/spoilt/version_0/run.json").read_text())["training_photos"]
    told = {row["name"]: row["cause"] for row in rows if "cause" in row}
    assert set(told) == {BLURRED, PAINTED, TURNED}
    assert told[BLURRED] == "blurred"
    assert told[PAINTED].startswith("one part differs, ")
    assert told[TURNED].startswith("misplaced by ")
    assert rows[0]["name"] == TURNED
    line = next(line for line in said.splitlines() if line.startswith("training photos:"))
    assert told[TURNED] in line
    assert told[PAINTED] in line
    assert BLURRED in line


def test_telling_causes_leaves_weights_and_randomness(run):
    before, after = run[2]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_failure_to_tell_is_no_failure_of_the_training(run, monkeypatch):
    folder, *_ = run

    def failing(system, psnr):
        raise RuntimeError("no memory")

    monkeypatch.setattr(photo_table, "tell_causes", failing)
    said = command(folder, "train", "--exp_name", "failing", *RUN, "--max_steps", "20")
    assert "the worst: " in said
    assert weights(folder / "ckpts/failing/last.ckpt")
