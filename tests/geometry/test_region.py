"""The box around a scene: of an object, of a place that goes on behind it, and in NDC."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets import load_scene
from datasets.config import SceneConfig
from datasets.scene import Scene
from geometry.cameras import make_cameras
from geometry.rays import Bounds, image_rays
from geometry.region import Region, find_region
from tests.scenes import circle_poses, forward_poses, write_blender, write_llff


def orbit(
    distance: float, size: int, angle_x: float, focus=(0.0, 0.0, 0.0), count: int = 12, **others
) -> Scene:
    """Cameras on a circle 30 degrees above what they look at."""
    poses = circle_poses(count, distance * math.cos(math.pi / 6), distance / 2)
    poses[:, :, 3] += focus
    focal = 0.5 * size / math.tan(0.5 * angle_x)
    intrinsics = (focal, focal, size / 2, size / 2)
    cameras = make_cameras(poses, [intrinsics] * count, [(size, size)] * count)
    split = {"train": list(range(count)), "val": [0], "test": [0]}
    return Scene("orbit", cameras, (None,) * count, split, Bounds(2.0, 6.0), **others)


def region_of(scene: Scene) -> Region:
    """The region of the scene's training photos."""
    cameras = scene.cameras[scene.splits["train"]]
    return find_region(cameras, scene.bounds, scene.foreground_only)


def test_an_object_s_box_is_what_the_photos_show():
    # Cameras as those of the paper's synthetic scenes.
    region = region_of(orbit(4.031, 800, 0.6911, count=100, foreground_only=True))
    assert not region.unbounded
    assert region.z_anisotropy == 1.0
    np.testing.assert_allclose(region.center, 0, atol=1e-4)
    # Half of what a photo's width shows at the focus is 4.031 tan(0.6911 / 2) = 1.451.
    assert region.half == pytest.approx((1.5, 1.5, 1.5), abs=0.02)
    assert region.pixel_footprint == pytest.approx(2 * 1.451 / 800, rel=1e-3)


def test_the_box_follows_the_place_and_scale_of_the_scene():
    scene = orbit(8.062, 400, 0.6911, focus=(3.0, -1.0, 2.0), count=100, foreground_only=True)
    region = region_of(scene)
    np.testing.assert_allclose(region.center, (3.0, -1.0, 2.0), atol=1e-3)
    assert region.half == pytest.approx((3.0, 3.0, 3.0), abs=0.04)
    assert region.pixel_footprint == pytest.approx(4 * 1.451 / 400, rel=1e-3)


def test_few_photos_of_an_object_are_taken_to_show_less():
    scene = orbit(4.031, 400, 0.6911, foreground_only=True)
    many, few = (
        region_of(replace(scene, splits={**scene.splits, "train": list(range(count))}))
        for count in (12, 3)
    )
    # 12 x 400 x 400 pixels, 68 for each square of a side of the box.
    assert many.pixel_footprint == pytest.approx(2 * many.half[0] * (68 / (12 * 400 * 400)) ** 0.5)
    assert many.pixel_footprint > 1.5 * 2 * 1.451 / 400
    assert few.pixel_footprint == pytest.approx(2 * many.pixel_footprint, rel=0.1)


def test_only_training_cameras_count(tmp_path):
    root = write_blender(tmp_path / "ball")

    def region(*moved: str) -> Region:
        """With the cameras of some splits ten times as far away."""
        for split in ("train", "val", "test"):
            path = root / f"transforms_{split}.json"
            content = json.loads(path.read_text())
            for frame in content["frames"] if split in moved else []:
                for row in frame["transform_matrix"][:3]:
                    row[3] *= 10
            path.write_text(json.dumps(content))
        found = load_scene(SceneConfig(root_dir=str(root))).region
        assert found is not None
        return found

    before = region()
    assert region("val", "test") == before
    assert region("train").half[0] == pytest.approx(10 * before.half[0], rel=1e-3)


def test_a_capture_around_a_subject_goes_on_outside():
    region = region_of(orbit(5.0, 200, 0.9, focus=(1.0, 2.0, 3.0)))
    assert region.unbounded
    np.testing.assert_allclose(region.center, (1.0, 2.0, 3.0), atol=1e-3)
    assert len(set(region.half)) == 1
    # The cube holds the subject and none of the cameras.
    assert 0.2 * 5 < region.half[0] < 5 / math.sqrt(3)


def test_loaders_find_the_region(tmp_path):
    blender = load_scene(SceneConfig(root_dir=str(write_blender(tmp_path / "ball"))))
    assert blender.region is not None
    assert not blender.region.unbounded
    # The unit ball, which the photos show whole, is within.
    assert min(blender.region.half) > 1.0
    around = write_llff(tmp_path / "around", circle_poses(10))
    scene = load_scene(SceneConfig(root_dir=str(around), dataset_name="llff"))
    assert scene.region is not None
    assert scene.region.unbounded


@pytest.fixture(scope="module")
def forward(tmp_path_factory) -> Scene:
    root = write_llff(tmp_path_factory.mktemp("forward") / "scene", forward_poses(10))
    return load_scene(SceneConfig(root_dir=str(root), dataset_name="llff"))


def test_in_ndc_all_training_rays_are_within(forward):
    region = forward.region
    assert forward.forward_facing
    assert region is not None
    assert not region.unbounded
    assert region.center == (0.0, 0.0, 0.0)
    assert region.half[2] == 1.0  # from the near plane to infinity
    assert region.z_anisotropy > 1
    ends = []
    for index in forward.splits["train"]:
        rays = image_rays(forward.cameras, forward.bounds, index)
        ends.append(rays.points(torch.stack([rays.near, rays.far], dim=1)).flatten(0, 1))
    reach = torch.cat(ends).abs().amax(dim=0)
    torch.testing.assert_close(reach, torch.tensor(region.half), rtol=1e-4, atol=1e-4)


def test_a_checkpoint_keeps_the_region(forward, tmp_path):
    around = orbit(5.0, 200, 0.9)
    for scene in (replace(around, region=region_of(around)), forward):
        torch.save(scene.to_dict(), tmp_path / "scene.ckpt")
        again = Scene.from_dict(torch.load(tmp_path / "scene.ckpt", weights_only=True))
        assert isinstance(again.region, Region)
        assert again.region == scene.region
        # What was kept is what would be found again, by the cameras alone.
        found = region_of(again)
        assert found.half == pytest.approx(again.region.half, rel=1e-4)
        assert (found.unbounded, found.z_anisotropy) == (
            again.region.unbounded,
            again.region.z_anisotropy,
        )
    assert Scene.from_dict(around.to_dict()).region is None
