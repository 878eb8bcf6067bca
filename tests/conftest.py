"""Shape annotations are checked at every call while the tests run."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  (the hook below names it)

install_import_hook(
    [
        *("geometry", "datasets", "models", "losses", "paths", "evaluation", "training"),
        *("writing", "capture", "learn", "reporting"),
    ],
    "tests.typecheck.check",
)

# Commands that tests start take Ctrl-C, also where the tests themselves run behind nohup or in a
# shell's background, which ignore it for all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture
def shared_scene():
    """Path of a real scene; the test is skipped where the real scenes are not at hand."""

    def find(name: str) -> Path:
        if not (SHARED / name).is_dir():
            pytest.skip(f"the real scene {name} is not at {SHARED}")
        return SHARED / name

    return find


@pytest.fixture(scope="session")
def solved(tmp_path_factory) -> tuple[Path, Path, np.ndarray, dict]:
    """An orbit with a distorting lens, prepared: photos, scene, true poses, report."""
    from tests.capture_scene import COUNT, FOCAL, K1, SIZE, orbit, run, take_photos

    folder = tmp_path_factory.mktemp("orbit")
    poses = orbit(COUNT)
    take_photos(folder / "photos", poses, SIZE, FOCAL, K1)
    report = run(folder / "photos", folder / "scene")
    return folder / "photos", folder / "scene", poses, report
