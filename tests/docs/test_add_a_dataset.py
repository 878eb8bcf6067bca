"""docs/add-a-dataset.md: its own code is a format that the real commands load and train on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.docs.page import DOCS, apply_diff, blocks, commands, copy_project, run
from tests.scenes import ball_image, circle_poses

PAGE = DOCS / "add-a-dataset.md"
SIZE, FOCAL = (32, 24), 40.0


def write_capture(root: Path, count: int = 10) -> Path:
    """Photos of a ball, transparent around it, and their table with the page's columns."""
    (root / "images").mkdir(parents=True)
    (header,) = blocks(PAGE, "csv")
    with (root / "cameras.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(header.strip().split(","))
        for i, pose in enumerate(circle_poses(count)):
            Image.fromarray(ball_image(pose, SIZE, FOCAL)).save(root / f"images/{i:03d}.png")
            lens = (*SIZE, FOCAL, FOCAL, SIZE[0] / 2, SIZE[1] / 2)
            table.writerow([f"{i:03d}.png", *lens, 2.5, 7.0, *pose.reshape(-1).tolist()])
    return root


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project with the page's file and entry, and a scene beside it."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    (code,) = blocks(PAGE, "python")
    (entry,) = blocks(PAGE, "diff")
    (folder / "datasets" / "formats" / "cameras_csv.py").write_text(code)
    apply_diff(folder / "datasets" / "__init__.py", entry)
    write_capture(folder / "capture")
    return folder


def test_the_page_s_format_is_trained_on(project: Path):
    train, evaluate = commands(PAGE)
    done = run(project, *train, "--resolution", "24", "--max_steps", "120")
    assert done.returncode == 0, done.stderr
    assert "capture: 8 photos to train on" in done.stdout
    done = run(project, *evaluate, "--split", "test")
    assert done.returncode == 0, done.stderr
    (metrics,) = (project / "results").rglob("metrics.json")
    assert json.loads(metrics.read_text())["mean"]["psnr"] > 15


def test_its_cameras_are_those_of_the_table(project: Path):
    """The ball's centre, the origin of the table, is in the middle of each photo; a mistake in the
    table is told by its line."""
    code = (
        "import torch\n"
        "from datasets import load_scene\n"
        "from datasets.config import SceneConfig\n"
        "from errors import UserError\n"
        "from geometry.cameras import camera_to_pixel, inverse_transform\n"
        "config = SceneConfig(root_dir='capture', dataset_name='csv')\n"
        "scene = load_scene(config)\n"
        "origin = torch.from_numpy(-scene.to_input[:3, 3] / scene.units).float().expand(10, 3)\n"
        "seen = inverse_transform(scene.cameras.c2w, origin)\n"
        "uv, depth = camera_to_pixel(scene.cameras.intrinsics, seen)\n"
        "assert (uv - torch.tensor([16.0, 12.0])).abs().max() < 1e-3, uv\n"
        "assert (depth * scene.units - (16 + 1.5**2) ** 0.5).abs().max() < 1e-3, depth\n"
        "table = open('capture/cameras.csv').read()\n"
        "open('capture/cameras.csv', 'w').write(table.replace('40.0,40.0', '40.0,x', 1))\n"
        "try:\n"
        "    load_scene(config)\n"
        "except UserError as error:\n"
        "    print(error)\n"
        "open('capture/cameras.csv', 'w').write(table)\n"
    )
    done = run(project, "python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert "cameras.csv, line 2: fy is missing or no number" in done.stdout
