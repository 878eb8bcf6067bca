"""The drawings of rays: perspective, what is drawn, the whole command."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import plot_rays
from datasets import load_scene
from datasets.config import SceneConfig
from datasets.loaders.ray_dataset import RaysDataset
from errors import run_command
from geometry.cameras import pixel_to_ray
from learn.rayplot import interactive
from learn.rayplot.perspective import Viewpoint
from learn.rayplot.sample import draw_through, frustum, in_corner, in_view, one_per_camera
from tests.scenes import write_blender


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_blender(tmp_path / "ball")


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["plot_rays.py", *map(str, words)])
        code: object = 0
        try:
            run_command(plot_rays.main)
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().err

    return call


def test_viewpoint_is_a_pinhole():
    up, target = np.array([0.0, 0, 1]), np.array([0.0, 2, 0])
    viewpoint = Viewpoint.looking_at(np.array([0.0, -2, 0]), target, up)
    points = np.array([[0.0, 2, 0], [1, 2, 0], [0, 2, 1], [0, -3, 0]])
    placed = viewpoint.project(points)
    np.testing.assert_allclose(placed[:3], np.array([[0, 0], [0.25, 0], [0, 0.25]]))
    assert np.isnan(placed[3]).all()


def test_lines_are_cut_where_they_pass_behind():
    viewpoint = Viewpoint.looking_at(np.zeros(3), np.array([0.0, 1, 0]), np.array([0.0, 0, 1]))
    start = np.array([[1.0, -1, 0], [1, 1, 0], [0, -1, 0]])
    end = np.array([[1.0, 1, 0], [0, 1, 0], [0, -2, 0]])
    lines = viewpoint.lines(start, end)
    assert lines.shape == (2, 2, 2)
    np.testing.assert_allclose(lines[0], np.array([[1 / viewpoint.nearest, 0], [1, 0]]))


def test_rays_land_on_the_pixels_that_they_were_asked_for(root: Path):
    dataset = RaysDataset.from_scene(load_scene(SceneConfig(root_dir=str(root))))
    generator = torch.Generator().manual_seed(0)
    for index in (
        one_per_camera(dataset, generator),
        in_view(dataset, 3, 20, generator),
        in_corner(dataset, 2, "bottom_right"),
    ):
        rays = draw_through(dataset, index, (2.0, 6.0), 8, perturb=True)
        np.testing.assert_allclose(rays.landing, rays.pixel + 0.5, atol=1e-3)
    each = draw_through(dataset, one_per_camera(dataset, generator), (2, 6), 4, False)
    assert sorted(each.image) == list(range(8))
    corner = draw_through(dataset, in_corner(dataset, 2, "bottom_right"), (2, 6), 4, False)
    assert (corner.image == 2).all()
    assert (corner.pixel >= 18).all()
    assert corner.pixel.max() == 23


def test_a_click_finds_its_pixel(root: Path):
    scene = load_scene(SceneConfig(root_dir=str(root)))
    cameras = scene.cameras
    # From anywhere, through a known place of an image plane.
    plane = frustum(cameras, 0.5, steps=24)[3]
    place = 0.5 * (plane[6, 20] + plane[7, 21])
    eye = np.array([0.3, 5.0, 4.0])
    assert interactive.pixel_under(cameras, 3, eye, place - eye, 0.5) == (20, 6)
    beside = plane[0, 0] + (plane[0, 0] - plane[1, 1])
    assert interactive.pixel_under(cameras, 3, eye, beside - eye, 0.5) is None


def test_interactive_view_is_reached_from_this_machine_alone(root: Path):
    import urllib.request

    scene = load_scene(SceneConfig(root_dir=str(root)))
    server = interactive.start(scene, "train", RaysDataset.from_scene(scene), 8, 18123)
    try:
        assert server.get_host() == "127.0.0.1"
        page = urllib.request.urlopen(f"http://127.0.0.1:{server.get_port()}").read()
        assert b"<html" in page
    finally:
        server.stop()


def test_command_draws_everything(run, root: Path, tmp_path: Path):
    out = tmp_path / "out"
    code, errors = run("--root_dir", root, "--out_dir", out, "--view", 1)
    assert code == 0, errors
    for name in ("one_per_camera", "over_all", "one_camera", "top_left"):
        pixels = np.asarray(Image.open(out / f"{name}.png").convert("RGB"))
        # The rays are there, in several colours, and nothing touches the edges.
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
        for edge in (pixels[:, 0], pixels[:, -1], pixels[0], pixels[-1]):
            assert (edge == 255).all()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--view", 8], "views 0 to 7"),
        (["--n_rays", 0], "--n_rays must be positive"),
        (["--port", 99999], "--port must be between"),
        (["--corner", "middle"], "--corner"),
    ],
)
def test_mistakes_are_told_in_one_line(run, words: list, told: str, root: Path, tmp_path: Path):
    code, errors = run("--root_dir", root, "--out_dir", tmp_path / "out", *words)
    assert code == 2
    assert told in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_swapped_u_and_v_are_seen(root: Path):
    class Swapped(RaysDataset):
        def rays(self, index: torch.Tensor) -> tuple:
            image, x, y = self.photos.locate(index)
            uv = torch.stack([y, x], dim=-1) + 0.5  # the mistake
            return *pixel_to_ray(self.K[image], self.c2w[image], uv), self.photos.pixels[index]

    dataset = Swapped.from_scene(load_scene(SceneConfig(root_dir=str(root))))
    dataset = Swapped(dataset.photos, dataset.K, dataset.c2w)
    rays = draw_through(dataset, torch.arange(24), (2.0, 6.0), 4, perturb=False)
    # The dots have left their rings: the top row of pixels lands in the left column.
    np.testing.assert_allclose(rays.landing, rays.pixel[:, ::-1] + 0.5, atol=1e-3)
