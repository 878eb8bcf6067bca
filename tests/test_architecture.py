"""Imports go one way, rooms stay small, and nothing outside a model's folder asks which it is."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.conftest import ROOT

# What each room may import, besides itself. From the base upwards (docs/architecture.md).
BASE = {"errors", "cli", "geometry", "writing"}
ALLOWED = {
    "errors": set(),
    "interrupts": set(),
    "cli": {"errors"},
    "writing": {"errors"},
    "geometry": {"errors"},
    "datasets": {"errors", "geometry", "writing"},
    "models": {"errors", "geometry"},
    "losses": {"models"},
    "paths": {"errors", "geometry", "datasets"},
    "evaluation": BASE | {"datasets", "models", "paths"},
    "training": BASE | {"datasets", "models", "losses", "evaluation"},
    "capture": BASE | {"datasets"},
    "learn": BASE | {"datasets", "models", "evaluation", "training"},
    "reporting": BASE | {"api", "datasets", "evaluation", "training", "learn"},
    "exporting": BASE | {"api", "datasets", "models", "paths", "evaluation", "training"},
    "viewing": BASE | {"api", "datasets", "models", "paths", "training"},
    "opt": {"cli", "errors", "datasets", "models", "training"},
    "api": BASE | {"datasets", "models", "evaluation", "training", "opt"},
}
COMMANDS = {
    *("train", "eval", "prepare", "export", "view", "report"),
    *("fit_image", "plot_rays", "plot_model"),
}
ELSEWHERE = {".venv", "tests", "benchmarks", "docs", "colab"}
MOST_LINES, MOST_FILES = 400, 12


def sources() -> dict[str, Path]:
    """The project's own modules by name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] not in ELSEWHERE and not parts[0].startswith("."):
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The project's modules that one imports anywhere, under TYPE_CHECKING and in functions too."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".") if node.level else []
            base = base[: len(base) - node.level + 1] if node.level else []
            full = ".".join([*base, *([node.module] if node.module else [])])
            found |= {full, *(f"{full}.{alias.name}" for alias in node.names)}
    return {other for other in found if other in known and other != name}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = sources()
    return {name: imports(name, path, known) for name, path in known.items()}


def test_imports_go_one_way(graph):
    wrong = []
    for name, others in graph.items():
        room = name.split(".")[0]
        if room in COMMANDS:
            continue
        assert room in ALLOWED, f"{room}: where does this room stand?"
        rooms = {other.split(".")[0] for other in others} - {room}
        wrong += [f"{name} imports {other}" for other in sorted(rooms - ALLOWED[room])]
    assert not wrong


def test_no_module_imports_itself_by_way_of_others(graph):
    state: dict[str, int] = {}

    def visit(name: str, way: list[str]) -> None:
        state[name] = 1
        for other in graph[name]:
            assert state.get(other) != 1, " -> ".join([*way, name, other])
            if other not in state:
                visit(other, [*way, name])
        state[name] = 2

    for name in graph:
        if name not in state:
            visit(name, [])


def test_files_and_folders_are_small():
    files = [p for p in ROOT.rglob("*.py") if not p.relative_to(ROOT).parts[0].startswith(".")]
    long = [p for p in files if len(p.read_text(encoding="utf-8").splitlines()) > MOST_LINES]
    folders: dict[Path, int] = defaultdict(int)
    for path in files:
        if path.name != "__init__.py" and path.parent != ROOT:
            folders[path.parent] += 1
    full = [folder for folder, count in folders.items() if count > MOST_FILES]
    assert (long, full) == ([], [])


def test_nobody_asks_which_model_it_is():
    """Outside models/ there is the ModelSpec; a name is looked up once and never compared."""
    fields = r"isinstance\([^)]*\b(NeRF|TensoRF|VoxelField|VoxelRenderer)\b"
    asks = re.compile(rf"\.model [!=]= |\.model in |{fields}")
    # A 2D image has models of its own, options compare names of models, and the page shows voxels.
    apart = {"models", "learn", "opt", "exporting"}
    outside = {n: p for n, p in sources().items() if n.split(".")[0] not in apart}
    outside["models"] = ROOT / "models" / "__init__.py"
    found = [name for name, path in outside.items() if asks.search(path.read_text())]
    assert found == []


def test_importing_sets_nothing_for_all():
    """Thread counts and OpenCV's switches are set by commands, not by who imports a module."""
    setters = re.compile(r"^(torch\.set_\w+|cv2\.set\w+|torch\.jit\.set_\w+|os\.environ\[)", re.M)
    found = [name for name, path in sources().items() if setters.search(path.read_text())]
    assert found == []
