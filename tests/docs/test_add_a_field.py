"""docs/add-a-field.md: its own code is a model that the real commands train and evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.metrics import psnr
from tests.docs.page import DOCS, apply_diff, blocks, commands, copy_project, run
from tests.scenes import write_blender

PAGE = DOCS / "add-a-field.md"
# A small scene, field and run, in place of the page's demo and minutes.
SMALL = ("--dataset_name", "blender", "--root_dir", "ball", "--resolution", "24")
SHORT = ("--N_samples", "48", "--N_importance", "0", "--batch_size", "256", "--max_steps", "120")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project with the page's file and entry, and a scene beside it."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    (code,) = blocks(PAGE, "python")
    (entry,) = blocks(PAGE, "diff")
    (folder / "models" / "dense.py").write_text(code)
    apply_diff(folder / "models" / "__init__.py", entry)
    write_blender(folder / "ball", train=12)
    return folder


def photo(path: Path) -> np.ndarray:
    """A photo of the scene on white, as it is measured."""
    with Image.open(path) as image:
        white = Image.new("RGBA", image.size, "white")
        return np.asarray(Image.alpha_composite(white, image).convert("RGB"))


def test_the_page_s_field_learns(project: Path):
    train, evaluate, other = commands(PAGE)
    assert "--resolution" in other
    done = run(project, *train, *SMALL, *SHORT)
    assert done.returncode == 0, done.stderr
    done = run(project, *evaluate, "--split", "test")
    assert done.returncode == 0, done.stderr
    (metrics,) = (project / "results").rglob("metrics.json")
    found = json.loads(metrics.read_text())["mean"]["psnr"]

    colour = np.mean([photo(path) for path in (project / "ball/train").iterdir()], axis=(0, 1, 2))
    photos = [photo(path) for path in (project / "ball/test").iterdir()]
    one_colour = [psnr(np.full_like(p, np.round(colour).astype(np.uint8)), p) for p in photos]
    assert found > np.mean(one_colour) + 6


def test_its_options_are_known_and_others_refused(project: Path):
    """--resolution is its own; a network's width and --compile mean nothing here."""
    code = (
        "from errors import UserError\n"
        "from opt import parse_training\n"
        "own = parse_training(['--model', 'dense', '--resolution', '24']).config\n"
        "print(type(own).__name__, own.resolution)\n"
        "for words in (['--netwidth', '64'], ['--compile'], ['--resolution', '2']):\n"
        "    try:\n"
        "        parse_training(['--model', 'dense', *words])\n"
        "    except UserError as error:\n"
        "        print(error)\n"
    )
    done = run(project, "python", "-c", code)
    assert done.returncode == 0, done.stderr
    own, *refused = done.stdout.splitlines()
    assert own == "DenseConfig 24"
    assert len(refused) == 3
    for line, name in zip(refused, ("--netwidth", "--compile", "--resolution"), strict=True):
        assert name in line
