"""Pages of docs/ as tests use them: their blocks of code, and a copy of the project to try them in."""

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
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(pattern, page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


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


def insert_line(file: Path, after: str, line: str) -> None:
    """Put a line behind the one that holds `after`, with its indentation."""
    lines = file.read_text(encoding="utf-8").splitlines()
    number = next(i for i, own in enumerate(lines) if after in own)
    blank = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
    lines.insert(number + 1, blank + line)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that begins with python in a folder."""
    assert words[0] == "python"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True, env=environment
    )
