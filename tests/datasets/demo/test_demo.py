from __future__ import annotations

import json
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

import datasets.demo.scene
from cli import parse
from datasets import load_scene
from datasets.config import SceneConfig
from datasets.demo.scene import orbit_poses, spiral_poses, write_demo_scene
from datasets.demo.solids import Frustum, Sphere, dot
from datasets.demo.still_life import still_life
from errors import UserError
from geometry.rays import image_rays
from opt import TrainOptions
from tests.conftest import ROOT

SIZE, TRAIN, VAL, TEST = 40, 3, 1, 2
SHORT = [
    "--dataset_name",
    "demo",
    "--max_steps",
    "150",
    "--resolution",
    "64",
    "--accelerator",
    "cpu",
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "tiny"
    write_demo_scene(root, SIZE, TRAIN, VAL, TEST, supersampling=2)
    return root


def test_cameras_stand_at_four_and_look_at_the_object():
    for poses in (spiral_poses(64, 5, 70), spiral_poses(8, 10, 60, start=1.0), orbit_poses(40)):
        rotation, centre = poses[:, :3, :3], poses[:, :3, 3]
        np.testing.assert_allclose(
            rotation @ rotation.transpose(0, 2, 1),
            np.tile(np.eye(3), (len(poses), 1, 1)),
            atol=1e-12,
        )
        np.testing.assert_allclose(np.linalg.det(rotation), 1)
        np.testing.assert_allclose(np.linalg.norm(centre, axis=1), 4)
        # The optical axis -z leads to the origin; right is level, up is up.
        np.testing.assert_allclose(centre - 4 * rotation[:, :, 2], 0, atol=1e-12)
        np.testing.assert_allclose(rotation[:, 2, 0], 0, atol=1e-12)
        assert rotation[:, 2, 1].min() > 0
        elevation = np.degrees(np.arcsin(centre[:, 2] / 4))
        assert elevation.min() > 5
        assert elevation.max() < 70


def test_training_cameras_are_spread_and_the_orbit_closes_smoothly():
    directions = spiral_poses(64, 5, 70)[:, :3, 2]
    angle = np.degrees(np.arccos(np.clip(directions @ directions.T, -1, 1)))
    np.fill_diagonal(angle, 180)
    assert angle.min(axis=1).min() > 8
    assert angle.min(axis=1).max() < 25
    centres = orbit_poses(40)[:, :3, 3]
    steps = np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=1)
    assert steps.max() < 1.3 * steps.min()


def test_the_solids_stay_within_the_paper_s_volume():
    for solid in still_life().solids:
        generator = torch.Generator().manual_seed(2)
        o = torch.randn(3, 2000, generator=generator)
        o = 4 * o / o.norm(dim=0)
        d = torch.tensor(solid.centre)[:, None] + 0.3 * torch.randn(3, 2000, generator=generator)
        d = (d - o) / (d - o).norm(dim=0)
        t = solid.distance(o, d)
        x = (o + t * d)[:, t < math.inf]
        assert x.shape[1] > 50
        assert float(x.abs().max()) < 1.4
        assert bool((dot(solid.normal(x), solid.normal(x)) - 1).abs().max() < 1e-4)


def test_files_are_those_of_a_blender_scene(demo):
    for split, count in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        meta = json.loads((demo / f"transforms_{split}.json").read_text())
        assert 0.6 < meta["camera_angle_x"] < 0.8
        assert len(meta["frames"]) == count
        for frame in meta["frames"]:
            assert np.array(frame["transform_matrix"]).shape == (4, 4)
            with Image.open(demo / f"{frame['file_path']}.png") as image:
                assert (image.mode, image.size) == ("RGBA", (SIZE, SIZE))
        depths = list((demo / split).glob("*_depth.npy"))
        assert len(depths) == (0 if split == "train" else count)
    assert [path.name for path in demo.parent.iterdir()] == [demo.name]


def plinth_distance(o: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Distance to the plinth's top, a disc; infinite beside it."""
    plinth = still_life().solids[0]
    assert isinstance(plinth.shape, Frustum)
    top = plinth.centre[2] + plinth.shape.half
    with np.errstate(divide="ignore"):
        t = (top - o[2]) / d[..., 2]
    x = o + t[..., None] * d
    return np.where((t > 0) & (np.hypot(x[..., 0], x[..., 1]) < plinth.shape.top), t, np.inf)


def test_depth_agrees_with_an_independent_intersection(demo):
    """Sphere by sphere and with the plinth's top, from the JSON camera in plain NumPy."""
    spheres = [s for s in still_life().solids if isinstance(s.shape, Sphere)]
    assert len(spheres) >= 3
    for split, index in (("val", 0), ("test", 0), ("test", 1)):
        meta = json.loads((demo / f"transforms_{split}.json").read_text())
        pose = np.array(meta["frames"][index]["transform_matrix"])
        depth = np.load(demo / split / f"r_{index}_depth.npy")
        assert depth.dtype == np.float32
        assert depth.shape == (SIZE, SIZE)
        slope = np.tan(meta["camera_angle_x"] / 2) * ((np.arange(SIZE) + 0.5) / SIZE * 2 - 1)
        x, y = np.meshgrid(slope, -slope)
        d = np.stack([x, y, -np.ones_like(x)], axis=-1) @ pose[:3, :3].T
        d /= np.linalg.norm(d, axis=-1, keepdims=True)
        o = pose[:3, 3]
        candidates = [plinth_distance(o, d)]
        for sphere in spheres:
            to_centre = np.array(sphere.centre) - o
            along = d @ to_centre
            chord = sphere.shape.radius**2 - (to_centre @ to_centre - along**2)
            candidates.append(along - np.sqrt(np.where(chord > 0, chord, np.inf)))
            candidates[-1][chord <= 0] = np.inf
        nearest = np.min(candidates, axis=0)
        seen = depth > 0
        # Other solids may stand before these; nothing lies behind them.
        assert np.all(depth[np.isfinite(nearest)] <= nearest[np.isfinite(nearest)] + 1e-5)
        assert np.all(seen[np.isfinite(nearest)])
        for candidate in candidates[:1] + [c for c in candidates[1:] if np.isfinite(c).sum() > 20]:
            visible = np.isfinite(candidate) & (np.abs(depth - candidate) < 1e-5)
            assert visible.sum() > 10
        assert depth[seen].min() > 2
        assert depth[seen].max() < 6


def test_alpha_is_zero_off_the_objects_and_one_on_them(demo):
    for index in range(TEST):
        rgba = np.asarray(Image.open(demo / "test" / f"r_{index}.png"))
        alpha, depth = rgba[..., 3], np.load(demo / "test" / f"r_{index}_depth.npy")
        assert alpha[0].max() == alpha[-1].max() == alpha[:, 0].max() == alpha[:, -1].max() == 0
        around = np.lib.stride_tricks.sliding_window_view(np.pad(depth, 1), (3, 3)) > 0
        assert np.all(alpha[~around.any(axis=(2, 3))] == 0)
        assert np.all(alpha[around.all(axis=(2, 3))] == 255)
        assert np.any((alpha > 0) & (alpha < 255))  # smooth rims
        assert np.all(rgba[alpha == 0] == 0)


def test_images_are_neither_dark_nor_burnt_out_and_colourful(demo):
    for path in sorted(demo.glob("*/*.png")):
        rgba = np.asarray(Image.open(path)).astype(float)
        rgb = rgba[rgba[..., 3] == 255][:, :3]
        assert 90 < rgb.mean() < 190
        assert (rgb.min(axis=1) > 250).mean() < 0.05
        assert (rgb.max(axis=1) < 15).mean() < 0.05
        assert (np.ptp(rgb, axis=1) > 100).mean() > 0.08


def test_reflections_depend_on_the_view():
    """The gold ball's top shows other colours from another side; the matt plinth does not."""
    world = still_life()
    gold = next(s for s in world.solids if s.mirror[0] > 0.5)
    top = torch.tensor(gold.centre)[:, None] + torch.tensor([[0.0], [0.0], [gold.shape.radius]])
    # Between the tiles' edges, and free of the solids.
    plinth = torch.tensor([[0.9], [-0.07], [world.solids[0].centre[2] + 0.07]])
    samples = torch.zeros(1, 2)
    for point, changes in ((top, True), (plinth, False)):
        colours = []
        for direction in ((0.8, 0.0, 0.6), (0.4, -0.4, 0.8246)):
            back = torch.tensor(direction)[:, None]
            back = back / back.norm()
            colours.append(world.colour(point + 2 * back, -back, samples)[0])
        assert (float((colours[0] - colours[1]).abs().max()) > 0.02) is changes


def test_the_same_bytes_each_time(demo, tmp_path):
    write_demo_scene(tmp_path / "again", SIZE, TRAIN, VAL, TEST, supersampling=2)
    files = sorted(path.relative_to(demo) for path in demo.rglob("*") if path.is_file())
    again = tmp_path / "again"
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for name in files:
        assert (demo / name).read_bytes() == (again / name).read_bytes(), name


@pytest.fixture
def tiny(monkeypatch):
    """load_demo makes a tiny scene."""

    def write(root: Path) -> None:
        write_demo_scene(root, size=16, train=3, val=1, test=2, supersampling=1)

    monkeypatch.setattr(datasets.demo.scene, "write_demo_scene", write)


def test_loads_and_makes_it_on_first_use_only(tiny, tmp_path, capsys):
    options = SceneConfig(dataset_name="demo", root_dir=str(tmp_path / "deep" / "demo"))
    scene = load_scene(options)
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert {split: len(views) for split, views in scene.splits.items()} == {
        "train": 3,
        "val": 1,
        "test": 2,
    }
    assert (scene.bounds.near, scene.bounds.far, scene.background) == (2.0, 6.0, 1.0)
    photos = scene.photos(scene.splits["test"])
    assert photos.image(0)[0, 0].tolist() == [255, 255, 255]
    load_scene(options)
    assert capsys.readouterr().out == ""


def test_the_loader_s_rays_end_where_the_depth_file_says(tiny, tmp_path):
    scene = load_scene(SceneConfig(dataset_name="demo", root_dir=str(tmp_path)))
    for number, view in enumerate(scene.splits["test"]):
        rays = image_rays(scene.cameras, scene.bounds, view)
        t, _ = still_life().trace(rays.origins.T, rays.directions.T)
        depth = torch.from_numpy(np.load(tmp_path / "test" / f"r_{number}_depth.npy")).reshape(-1)
        close = (torch.where(t < math.inf, t, 0.0) - depth).abs() < 1e-3
        assert float(close.float().mean()) > 0.98  # float32 may fall to the other side of a rim


def test_default_folder_and_size(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scene = load_scene(SceneConfig(dataset_name="demo", img_wh=(8, 8)))
    assert (tmp_path / "data" / "demo" / "transforms_train.json").is_file()
    assert scene.name == "demo"
    assert scene.cameras.size[0].tolist() == [8, 8]


def test_a_foreign_folder_is_refused_and_left_alone(tiny, tmp_path):
    for name, content in (("photo.jpg", "mine"), ("transforms_train.json", '{"frames": []}')):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        (folder / name).write_text(content)
        with pytest.raises(UserError, match="is not the demo scene"):
            load_scene(SceneConfig(dataset_name="demo", root_dir=str(folder)))
        assert [path.name for path in folder.iterdir()] == [name]
        assert (folder / name).read_text() == content
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UserError, match="is not the demo scene"):
        load_scene(SceneConfig(dataset_name="demo", root_dir=str(file)))


@pytest.mark.parametrize("lost", ["test/r_1_depth.npy", "train/r_0.png", "transforms_val.json"])
def test_an_incomplete_scene_is_named(tiny, tmp_path, lost):
    options = SceneConfig(dataset_name="demo", root_dir=str(tmp_path))
    load_scene(options)
    (tmp_path / lost).unlink()
    with pytest.raises(UserError, match="incomplete"):
        load_scene(options)


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets.demo.scene, "render_depth", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_demo_scene(tmp_path / "scene", size=8, train=1, val=1, test=1, supersampling=1)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_at_once_end_with_one_scene(demo, tmp_path, monkeypatch):
    """The other one's folder appears while ours is being made: it stays."""
    root = tmp_path / "scene"
    small = {"size": 8, "train": 1, "val": 1, "test": 1, "supersampling": 1}
    original = datasets.demo.scene.orbit_poses

    def late(count: int):
        monkeypatch.setattr(datasets.demo.scene, "orbit_poses", original)
        write_demo_scene(root, **small)
        return original(count)

    monkeypatch.setattr(datasets.demo.scene, "orbit_poses", late)
    write_demo_scene(root, **small)
    assert (root / "transforms_test.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]


def demo_flags() -> list[str]:
    """The flags of `make demo`."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    return shlex.split(re.findall(r"^DEMO_FLAGS := (.*)$", text, flags=re.MULTILINE)[0])


def test_make_demo_trains_the_fast_field_for_a_minute():
    options = parse(TrainOptions, demo_flags())
    assert options.model == "voxels"
    assert options.max_time is not None
    assert options.max_time <= 60


def test_make_demo_s_commands_on_a_tiny_scene(demo, tmp_path):
    for script, *flags in (
        ("train.py", "--root_dir", str(demo), "--exp_name", "demo", *demo_flags(), *SHORT),
        ("eval.py", "--ckpt_path", "ckpts/demo/last.ckpt", "--save_depth", "--accelerator", "cpu"),
    ):
        command = [sys.executable, str(ROOT / script), *flags]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    results = tmp_path / "results/demo/tiny"
    for name in ("tiny.gif", "tiny_depth.gif"):
        with Image.open(results / "preview" / name) as gif:
            assert gif.size == (SIZE, SIZE)
            assert sum(1 for _ in ImageSequence.Iterator(gif)) == 48
    assert len(list((results / "test").glob("0*.png"))) == TEST
    # White behind a still life in its middle, even after so few steps.
    image = np.asarray(Image.open(results / "test/000.png")).astype(int)
    assert image[:4].min() > 200
    assert image[SIZE // 2, SIZE // 2].min() < 200
