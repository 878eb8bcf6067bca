"""What trainings, evaluations and fits have left and go on from."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.scenes import write_blender

_TINY: dict[str, Sequence[str]] = {
    "nerf": (
        *("--netdepth", "2", "--netwidth", "8", "--netskip", "1", "--N_samples", "4"),
        *("--N_importance", "4", "--N_emb_xyz", "2", "--N_emb_dir", "1", "--batch_size", "32"),
    ),
    "voxels": ("--model", "voxels", "--resolution", "16", "--batch_size", "64"),
}


def _train(root: Path, *words: str) -> None:
    import train

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(sys, "argv", ["train.py", *words])
        train.main()


def _trained(root: Path, model: str) -> None:
    write_blender(root / "ball", size=8, train=3, val=1, test=1)
    words = ("--root_dir", "ball", "--accelerator", "cpu", "--exp_name", "run", "--val_rays", "8")
    _train(root, *words, *_TINY[model], "--max_steps", "2")
    (root / "ckpts/run/last.ckpt").replace(root / "given.ckpt")
    shutil.rmtree(root / "ckpts")
    shutil.rmtree(root / "logs")


def trained_nerf(root: Path) -> None:
    """A run of two steps, and its scene."""
    _trained(root, "nerf")


def trained_voxels(root: Path) -> None:
    _trained(root, "voxels")


def resume(root: Path, rng: random.Random) -> None:
    """Three steps more. A checkpoint of numbers that are not finite may make a field of such."""
    _train(root, "--ckpt_path", "given.ckpt", "--max_steps", "5", "--accelerator", "cpu")
    assert not list(root.rglob(".*.tmp*"))


def film(root: Path) -> None:
    """A film of which two frames are missing."""
    store = _film(root)
    for number in store.begin()[:3]:
        _draw(store, number)


def finish_film(root: Path, rng: random.Random) -> None:
    from writing.frames import StoredFrames

    store = _film(root)
    for number in store.begin():
        _draw(store, number)
    # Not as `store` gives them: shapes checked at every call would read one by chance.
    frames = list(StoredFrames(sorted(root.rglob("*.png"))))
    assert len(frames) == 10
    assert {frame.shape for frame in frames} == {(9, 12, 3)}


def _film(root: Path) -> Any:
    from evaluation.store import FrameStore

    return FrameStore(root, 5, {"a": 1})


def _draw(store: Any, number: int) -> None:
    from evaluation.views import View

    image = np.full((9, 12, 3), 20 * number, np.uint8)
    depth, opacity = np.ones((9, 12), np.float32), np.ones((9, 12), np.float16)
    store.write(number, View(image, depth, opacity, 0.1), 0.5, 2.0)


def network(root: Path) -> None:
    """What fit_image.py leaves of a photo."""
    from learn.image2d.fit import fit
    from learn.image2d.options import FitOptions

    Image.new("RGB", (12, 9), (200, 100, 0)).save(root / "photo.png")
    small: dict[str, Any] = {"L": 2, "num_layers": 1, "width": 4, "batch_size": 10}
    few: dict[str, Any] = {"iterations": 2, "gif_frames": 0, "snapshots": (0,)}
    fit(FitOptions(str(root / "photo.png"), out_dir=str(root / "out"), **small, **few))
    (root / "out/network.pt").replace(root / "network.pt")
    shutil.rmtree(root / "out")


def paint(root: Path, rng: random.Random) -> None:
    from learn.image2d.fit import paint_again
    from learn.image2d.options import FitOptions

    photo, ckpt_path = str(root / "photo.png"), str(root / "network.pt")
    paint_again(FitOptions(photo, ckpt_path=ckpt_path, render_scale=2.0, out_dir=str(root)))
    with Image.open(root / "scaled_2.png") as image:
        image.load()
