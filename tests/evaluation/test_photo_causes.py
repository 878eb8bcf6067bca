"""Spoilt photos of a ray-traced scene beside what a field that has learned it would show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from datasets.config import SceneConfig
from datasets.demo.scene import load_demo, write_demo_scene
from evaluation.photo_causes import UNCLEAR, Pair, Picture, cause

SIZE = 64


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> list[Pair]:
    """Good photos of an orbit, and renderings as blurred as those of a short training."""
    root = tmp_path_factory.mktemp("photos")
    write_demo_scene(root / "demo", size=SIZE, train=8, val=1, test=1, supersampling=2)
    scene = load_demo(SceneConfig(root_dir=str(root / "demo"), dataset_name="demo"))
    photos = scene.photos(scene.splits["train"], alpha=True)
    assert photos.alpha is not None
    made = []
    for number in range(len(photos)):
        photo = photos.image(number).numpy().astype(np.float32) / 255
        opacity = photos.alpha.view(-1, SIZE, SIZE)[number].numpy().astype(np.float32) / 255
        counted = np.ones((SIZE, SIZE), dtype=bool)
        made.append(Pair(photo, _soft(photo, 0.8), _soft(opacity, 0.8), counted))
    return made


def _soft(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def _painted(photo: Picture) -> Picture:
    photo = photo.copy()
    photo[8:22, 40:54] = (0.9, 0.1, 0.8)
    return photo


def _grainy(photo: Picture) -> Picture:
    noise = np.random.default_rng(0).normal(scale=0.2, size=photo.shape)
    return (photo + noise.astype(np.float32)).clip(0, 1)


def _relit(pair: Pair, gain: float) -> Pair:
    """The object alone is otherwise lit: the background is no part of the photo."""
    opacity = pair.opacity[..., None]
    return replace(pair, photo=gain * (pair.photo - (1 - opacity)) + 1 - opacity)


SPOILT: list[tuple[Callable[[Pair], Pair], str]] = [
    (lambda pair: replace(pair, photo=_soft(pair.photo, 2.0)), "blurred"),
    # As if the camera had been turned.
    (lambda pair: replace(pair, photo=np.roll(pair.photo, 3, axis=1)), "misplaced by 5 %"),
    (lambda pair: replace(pair, photo=np.roll(pair.photo, -6, axis=0)), "misplaced by 9 %"),
    (lambda pair: replace(pair, photo=_painted(pair.photo)), "one part differs, top right"),
    (lambda pair: _relit(pair, 0.6), "otherwise exposed, darker"),
    (lambda pair: _relit(pair, 1.4), "otherwise exposed, brighter"),
    (lambda pair: replace(pair, photo=_grainy(pair.photo)), UNCLEAR),
]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(("spoil", "told"), SPOILT)
def test_what_was_done_to_a_photo_is_told(pairs: list[Pair], number: int, spoil, told: str):
    said = cause(spoil(pairs[number]), pairs[4:], 1.0)
    assert said is not None
    assert told in said


def test_nothing_is_told_of_good_photos(pairs: list[Pair]):
    assert [cause(pair, pairs, 1.0) for pair in pairs] == [None] * len(pairs)


def test_a_smooth_thing_is_not_a_blurred_photo(pairs: list[Pair]):
    """Its rendering is as smooth."""
    smooth = _soft(pairs[0].photo, 4.0)
    assert cause(replace(pairs[0], photo=smooth, rendering=smooth), pairs, 1.0) is None


def test_what_a_mask_hides_counts_for_nothing(pairs: list[Pair]):
    painted = replace(pairs[0], photo=_painted(pairs[0].photo))
    hidden = painted.counted.copy()
    hidden[6:24, 38:56] = False
    assert cause(replace(painted, counted=hidden), pairs, 1.0) is None
