"""Running the notebooks of colab/ as a fresh machine would: in a folder that holds nothing yet."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

TINY = "--max_steps {} --val_every_steps 5 --val_rays 64 --accelerator cpu"
TINY_VOXELS = f"{TINY} --resolution 32 --batch_size 500"


def read(name: str) -> Any:
    return nbformat.read(ROOT / f"colab/{name}.ipynb", as_version=4)


def settings_of(notebook: Any) -> Any:
    """The cell of the settings."""
    return next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))


def cell_with(notebook: Any, words: str) -> Any:
    return next(c for c in notebook.cells if c.cell_type == "code" and words in c.source)


def project_zip(path: Path) -> Path:
    """What a clone holds, in a folder in a zip, as GitHub's are."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a clone, or no git")
    with zipfile.ZipFile(path, "w") as archive:
        for name in done.stdout.splitlines():
            if (ROOT / name).is_file() and not name.startswith("tests/"):
                archive.write(ROOT / name, f"nerf-main/{name}")
    return path


class Ran:
    """What a notebook's cells have left."""

    def __init__(self, notebook: Any) -> None:
        self.outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
        self.text = "".join(o.get("text", "") for o in self.outputs)

    def count(self, kind: str) -> int:
        """Outputs of a MIME type."""
        return sum(kind in o.get("data", {}) for o in self.outputs)

    @property
    def html(self) -> str:
        return "".join(o.get("data", {}).get("text/html", "") for o in self.outputs)


def execute(name: str, folder: Path, until: str = "", **settings: Any) -> Ran:
    """Run a notebook in a folder.

    Args:
        until: words of the last cell that is run; all are without them.
        settings: that are put in the place of the notebook's own.
    """
    notebook = read(name)
    settings_of(notebook).source += "".join(f"\n{n} = {v!r}" for n, v in settings.items())
    if until:
        last = notebook.cells.index(cell_with(notebook, until))
        notebook.cells = notebook.cells[: last + 1]
    # As on any machine, what is compiled is kept for the next command.
    env = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
    client = NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(cwd=str(folder), env=env)
    return Ran(notebook)
