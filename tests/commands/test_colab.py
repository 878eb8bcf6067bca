"""The notebooks run from top to bottom, outside Colab too."""

from __future__ import annotations

import shlex

import nbformat
import pytest
from nbclient import NotebookClient

from cli import parse
from datasets.demo.scene import write_demo_scene
from opt import EvalOptions, TrainOptions
from tests.conftest import ROOT

TINY = (
    "--model voxels --resolution 32 --batch_size 500 "
    "--max_steps {steps} --val_every_steps 5 --val_rays 64 --accelerator cpu"
)


def execute(work, steps: int) -> str:
    """Run the notebook with small settings; returns all that its cells printed."""
    notebook = nbformat.read(ROOT / "colab/nerf.ipynb", as_version=4)
    settings = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    settings.source += (
        f"\nPROJECT, WORK, TRAIN_FLAGS = {str(ROOT)!r}, {str(work)!r}, {TINY.format(steps=steps)!r}"
    )
    NotebookClient(notebook, timeout=200, kernel_name="python3").execute(cwd=str(work))
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert any("image/gif" in o.get("data", {}) for o in outputs)
    return "".join(o.get("text", "") for o in outputs)


def test_the_notebook_trains_evaluates_and_resumes(tmp_path):
    write_demo_scene(tmp_path / "data/demo", size=16, train=4, val=2, test=3, supersampling=1)
    text = execute(tmp_path, steps=5)
    assert "mean over 3 views" in text
    assert (tmp_path / "results/colab/demo.gif").is_file()
    # The machine is lost, and all cells are run again.
    text = execute(tmp_path, steps=8)
    assert "--ckpt_path ckpts/colab/last.ckpt" in text
    assert "8 steps in" in text


def test_the_notebook_only_calls_scripts():
    notebook = nbformat.read(ROOT / "colab/nerf.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert "import torch" not in cell.source
            assert not cell.outputs


NOTEBOOKS = pytest.mark.parametrize(
    "path", sorted((ROOT / "colab").glob("*.ipynb")), ids=lambda p: p.name
)


@NOTEBOOKS
def test_notebooks_are_valid(path):
    nbformat.validate(nbformat.read(path, as_version=4))


@NOTEBOOKS
def test_notebooks_train_the_fast_field_for_some_minutes(path):
    cells = nbformat.read(path, as_version=4).cells
    settings = next(c for c in cells if "parameters" in c.metadata.get("tags", []))
    names: dict[str, str] = {}
    exec(settings.source, names)
    options = parse(TrainOptions, shlex.split(names["TRAIN_FLAGS"]))
    assert options.model == "voxels"
    assert options.max_time is not None
    assert 30 <= options.max_time <= 600
    parse(EvalOptions, ["--ckpt_path", "x", *shlex.split(names["EVAL_FLAGS"])])
