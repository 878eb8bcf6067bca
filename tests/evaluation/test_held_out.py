"""Held-out cameras find the place that their photo was taken from, in a field that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from datasets.photos import Frame
from datasets.scene import Scene
from evaluation.held_out import HeldOutFit, moves
from geometry.cameras import make_cameras
from geometry.motion import move
from geometry.rays import Bounds, image_rays
from geometry.region import Region
from models.voxels.field import VoxelField
from models.voxels.renderer import VoxelRenderer
from tests.scenes import circle_poses

SIZE, REGION = (48, 40), Region((0.0, 0.0, 0.0), (1.5, 1.5, 1.5))


def a_field() -> VoxelRenderer:
    """A ball whose colour is a smooth pattern of its places."""
    field = VoxelField(REGION, 48, channels=3)
    places = field.grid.lattice.points(field.grid.corner_coordinates())
    with torch.no_grad():
        field.density_table.fill_(0)
        inside = 1 - places.norm(dim=1, keepdim=True)
        field.density_table[: len(places)] = (60 * inside).clamp(-10, 12)
        field.feature_table.fill_(0)
        field.feature_table[: len(places)] = 0.35 * torch.sin(4 * places + 1)
    return VoxelRenderer(field, background=1.0)


def test_a_disturbed_camera_comes_back():
    renderer = a_field()
    poses = circle_poses(3)
    true = make_cameras(poses, [(50.0, 50.0, 24.0, 20.0)] * 3, [SIZE] * 3)
    bounds = Bounds(2.0, 6.0)
    frames = []
    for index in range(3):
        rgb = renderer(image_rays(true, bounds, index)).rgb
        image = (255 * rgb.clamp(0, 1) + 0.5).byte().view(SIZE[1], SIZE[0], 3).numpy()
        frames.append(Frame(str(index), SIZE, array=image))
    motion = torch.zeros(6)
    motion[:3] = torch.tensor([0.6, -0.5, 0.7]).deg2rad()
    motion[3:] = torch.tensor([0.05, -0.04, 0.06])
    off = torch.from_numpy(np.asarray(true.c2w)).clone()
    off[1] = move(true.c2w[1], motion, true.c2w[1, :, 3])
    scene = Scene("ball", replace(true, c2w=off), tuple(frames), {"train": [0, 2], "test": [1]},
                  bounds, background=1.0, region=REGION)  # fmt: skip
    before = {name: p.detach().clone() for name, p in renderer.field.named_parameters()}
    fitted = HeldOutFit(scene, renderer, None).scene_for([1], torch.device("cpu"))

    assert torch.equal(fitted.cameras.c2w[[0, 2]], scene.cameras.c2w[[0, 2]])
    error = [
        float((renderer(image_rays(s.cameras, bounds, 1)).rgb
               - renderer(image_rays(true, bounds, 1)).rgb).square().mean())
        for s in (scene, fitted)
    ]  # fmt: skip
    assert error[1] < 0.05 * error[0]
    shift = [float((s.cameras.c2w[1] - true.c2w[1])[:, 3].norm()) for s in (scene, fitted)]
    assert shift[1] < shift[0]  # what is left shows next to nothing
    for name, parameter in renderer.field.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, before[name])
    assert moves(scene, fitted, [1])["median_shift"] > 0.03
    assert moves(scene, scene, [1]) | {"steps": 0} == {
        "steps": 0, "median_degrees": 0.0, "median_shift": 0.0,
    }  # fmt: skip
