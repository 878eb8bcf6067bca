"""Objects cut out by masks or transparency, and masks that are not of an object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import load_scene
from datasets.config import SceneConfig
from datasets.photos import Frame, load_photos
from errors import UserError
from tests.scenes import circle_poses

SIZE = (40, 30)


def capture(root: Path, masks: Sequence[np.ndarray | None], photo: str = "RGB") -> Path:
    """Grey photos from all around, with these masks."""
    (root / "masks").mkdir(parents=True)
    frames = []
    for number, (pose, mask) in enumerate(zip(circle_poses(len(masks)), masks, strict=True)):
        image = Image.new(photo, SIZE, (90,) * 3 + (255,) * (photo == "RGBA"))
        image.save(root / f"{number}.png")
        frame = {"file_path": f"{number}.png"}
        frame["transform_matrix"] = np.vstack([pose, [0, 0, 0, 1]]).tolist()
        if mask is not None:
            Image.fromarray(mask).save(root / "masks" / f"{number}.png")
            frame["mask_path"] = f"masks/{number}.png"
        frames.append(frame)
    top = {"fl_x": 40.0, "w": SIZE[0], "h": SIZE[1], "frames": frames}
    (root / "transforms.json").write_text(json.dumps(top))
    return root


def blob(number: int, radius: float = 8.0) -> np.ndarray:
    """The mask of an object in the middle, of another width in each photo."""
    x, y = np.meshgrid(np.arange(SIZE[0]) - 19.5, np.arange(SIZE[1]) - 14.5)
    return ((np.hypot(x / (1 + 0.1 * number), y) < radius) * 255).astype(np.uint8)


def load(root: Path, **options):
    return load_scene(SceneConfig(root_dir=str(root), dataset_name="transforms", **options))


def test_masks_of_an_object_are_its_opacity(tmp_path, capsys):
    scene = load(capture(tmp_path / "a", [blob(i) for i in range(6)]))
    assert "cut_out" in capsys.readouterr().out
    assert scene.foreground_only
    assert scene.background == 1.0
    assert not scene.region.unbounded
    distance = scene.cameras.c2w[:, :, 3].norm(dim=1)
    assert scene.bounds.near == pytest.approx(0.5 * float(distance.min()), rel=1e-3)
    assert scene.bounds.far == pytest.approx(1.5 * float(distance.max()), rel=1e-3)
    photos = scene.photos([2], alpha=True)
    assert photos.valid is None
    shown = torch.from_numpy(blob(2)).flatten() > 0
    assert photos.pixels[shown].unique().tolist() == [90]
    assert photos.pixels[~shown].unique().tolist() == [255]
    assert photos.alpha is not None
    assert torch.equal(photos.alpha > 0, shown)


def test_opacity_is_reduced_with_the_photo(tmp_path):
    scene = load(capture(tmp_path / "a", [blob(i) for i in range(6)]), img_wh=(20, 15))
    alpha = scene.photos([3], alpha=True).alpha
    assert alpha is not None
    assert len(alpha) == 20 * 15
    assert int(((alpha > 20) & (alpha < 235)).sum()) > 10  # soft edges
    assert float(alpha.float().mean()) == pytest.approx(float(blob(3).mean()), rel=0.02)


@pytest.mark.parametrize(
    "kind", ["a person who walks by", "the lens", "some have none", "half of the photo"]
)
def test_other_masks_leave_pixels_out(tmp_path, kind):
    masks: list[np.ndarray | None] = [blob(i) for i in range(6)]
    if kind == "a person who walks by":
        masks = [255 - blob(i) for i in range(6)]
    elif kind == "the lens":
        masks = [blob(0, 14.0)] * 6
    elif kind == "some have none":
        masks[3] = None
    else:
        rows = np.repeat([[0, 255]], 20, axis=1).repeat(SIZE[1], axis=0).astype(np.uint8)
        masks = [np.roll(rows, 5 * i, axis=1) for i in range(6)]
    scene = load(capture(tmp_path / "a", masks))
    assert not scene.foreground_only
    assert scene.region.unbounded
    assert scene.photos([0, 1]).valid is not None


def test_what_was_detected_can_be_overruled(tmp_path):
    root = capture(tmp_path / "object", [blob(i) for i in range(6)])
    scene = load(root, cut_out=False)
    assert not scene.foreground_only
    assert scene.photos([0]).valid is not None
    root = capture(tmp_path / "people", [255 - blob(i) for i in range(6)])
    assert load(root, cut_out=True).foreground_only
    root = capture(tmp_path / "plain", [None] * 6)
    with pytest.raises(UserError, match="no photo of plain"):
        load(root, cut_out=True)


def test_an_alpha_channel_that_hides_nothing_cuts_nothing_out(tmp_path):
    root = capture(tmp_path / "a", [None] * 6, photo="RGBA")
    assert not load(root).foreground_only
    image = np.dstack([np.full((SIZE[1], SIZE[0], 3), 90, np.uint8), blob(4)])
    Image.fromarray(image).save(root / "4.png")
    assert load(root).foreground_only


def test_an_alpha_channel_that_hides_nothing_says_nothing_of_what_is_opaque(tmp_path):
    """Before random colours, a white background that counts as opaque would become a white fog."""
    painted = np.full((SIZE[1], SIZE[0], 4), 255, np.uint8)
    painted[..., :3][blob(1) > 127] = 40
    frames = []
    for i in range(2):
        Image.fromarray(painted).save(tmp_path / f"{i}.png")
        frames.append(Frame(f"{i}.png", SIZE, tmp_path / f"{i}.png"))
    assert load_photos(frames, 1.0, keep_alpha=True).alpha is None
    painted[0, 0, 3] = 0
    Image.fromarray(painted).save(tmp_path / "1.png")
    alpha = load_photos(frames, 1.0, keep_alpha=True).alpha
    assert alpha is not None
    assert int((alpha == 0).sum()) == 1


def test_masks_of_zeros_and_ones_are_masks(tmp_path):
    scene = load(capture(tmp_path / "a", [255 - blob(i) for i in range(6)]))
    ones = load(capture(tmp_path / "b", [(255 - blob(i)) // 255 for i in range(6)]))
    valid, same = (s.photos([0, 1]).valid for s in (scene, ones))
    assert valid is not None
    assert same is not None
    assert torch.equal(valid, same)


def test_a_mask_may_be_larger_than_its_distorted_photo(tmp_path):
    masks = []
    for root, factor in (("a", 1), ("b", 3)):
        large = [np.kron(255 - blob(i), np.ones((factor,) * 2, np.uint8)) for i in range(6)]
        path = capture(tmp_path / root, large) / "transforms.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "k1": -0.3}))
        masks.append(load(path.parent).photos([0, 1]).valid)
    assert masks[0] is not None
    assert float((masks[0] != masks[1]).float().mean()) < 0.02
