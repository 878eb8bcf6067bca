"""What a place looks like where no photo tells."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cli import to_dict
from geometry.rays import Rays
from geometry.region import Region
from models.voxels.background import eval_background, fit_background
from opt import TrainOptions
from tests.scenes import circle_poses, write_llff
from train import NeRFSystem

PLACE = Region((1.0, 2.0, 3.0), (0.4, 0.4, 0.4), unbounded=True)
RED = torch.tensor([1.0, 0.0, 0.0])


def rays(directions: torch.Tensor, distance: torch.Tensor) -> Rays:
    """Rays that pass the middle of the place at a distance each."""
    aside = F.normalize(torch.linalg.cross(directions, directions.roll(1, dims=1)), dim=1)
    origins = torch.tensor(PLACE.center) + distance[:, None] * aside - 2 * directions
    ones = torch.ones(len(origins))
    return Rays(
        origins, directions, directions, 0 * ones, 9 * ones, torch.zeros(len(origins)).long()
    )


def all_directions(count: int = 4000, spread: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    around = torch.tensor([0.0, 0.0, -1.0])
    random = F.normalize(torch.randn(count, 3, generator=generator), dim=1)
    return F.normalize(around * (1 - spread) + spread * random, dim=1)


def sky_and_floor(directions: torch.Tensor) -> torch.Tensor:
    x, y, z = directions.unbind(1)
    return torch.stack([0.5 + 0.3 * z, 0.5 + 0.2 * x * y, 0.6 + 0.3 * z * z], dim=1)


def test_colours_beside_the_subject_are_found_by_direction():
    directions = all_directions()
    distance = torch.linspace(0, 1, len(directions))
    rgbs = torch.where((distance > 0.4)[:, None], sky_and_floor(directions), RED)
    found = fit_background(rays(directions, distance), rgbs, PLACE)
    elsewhere = all_directions(777)
    torch.testing.assert_close(
        eval_background(found, elsewhere), sky_and_floor(elsewhere), rtol=0, atol=0.03
    )


@pytest.mark.parametrize("unbounded", [True, False])
def test_where_nothing_is_beside_a_subject_all_counts(unbounded):
    directions = all_directions()
    distance = torch.linspace(0, 0.39 if unbounded else 1, len(directions))
    region = Region(PLACE.center, PLACE.half, unbounded=unbounded)
    rgbs = RED.expand(len(directions), 3)
    found = fit_background(rays(directions, distance), rgbs, region)
    torch.testing.assert_close(eval_background(found, directions), rgbs, rtol=0, atol=1e-5)


def test_directions_that_no_photo_has_look_like_the_others():
    directions = all_directions(spread=0.1)
    generator = torch.Generator().manual_seed(1)
    rgbs = 0.5 + 0.1 * torch.randn(len(directions), 3, generator=generator)
    found = fit_background(rays(directions, torch.ones(len(directions))), rgbs, PLACE)
    colours = eval_background(found, all_directions())
    torch.testing.assert_close(colours, torch.full_like(colours, 0.5), rtol=0, atol=0.1)


def test_training_starts_with_what_its_photos_show_beside_the_subject(tmp_path, monkeypatch):
    monkeypatch.setattr("train.use_device", lambda *args: None)  # other tests keep their threads
    write_llff(tmp_path / "ball", circle_poses(10))  # a coloured ball before black
    options = TrainOptions(
        dataset_name="llff", root_dir=str(tmp_path / "ball"), model="voxels", accelerator="cpu"
    )
    system = NeRFSystem(**to_dict(options))
    system.setup("fit")
    colours = eval_background(system.fields["nerf_coarse"].background_sh, all_directions())
    assert system.train_photos.pixels.float().mean() > 10
    torch.testing.assert_close(colours, torch.zeros_like(colours), rtol=0, atol=0.01)
