"""Pages of docs/ as tests use them: their blocks of code, and a copy of the project to try them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCS = ROOT / "docs"


def blocks(page: Path, language: str = "") -> list[str]:
    """The fenced blocks of a page in this language, in their order."""
    pattern = r"^```(\w*)\n(.*?)^```$"
    found = re.findall(pattern, page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [text for own, text in found if own == language]


def commands(page: Path) -> list[list[str]]:
    """The words of each command of a page that begins with python."""
    lines = "\n".join(blocks(page)).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("python ")]


def copy_project(to: Path) -> Path:
    """The files that git knows or would take, as they are now. Skips where this is no clone."""
    ask = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a clone, or no git")
    for name in set(listed.stdout.split("\0")):
        source, target = ROOT / name, to / name
        if source.suffix in (".py", ".html") and source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return to


def apply_diff(file: Path, diff: str) -> None:
    """Change a file as the hunks of a diff say; each must fit in one place."""
    text = file.read_text(encoding="utf-8")
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if not line.startswith("+"))
        new = "".join(line[1:] for line in lines if not line.startswith("-"))
        assert text.count(old) == 1, f"{file.name} has not once:\n{old}"
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that begins with python in a folder."""
    assert words[0] == "python"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True, env=environment
    )
