"""What a clone holds."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import ROOT


def git(*args: str) -> list[str]:
    """The lines that git prints; skips where this is no clone."""
    try:
        done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a clone, or no git")
    return done.stdout.splitlines()


def test_nothing_in_a_clone_leads_out_of_it():
    """A link to a folder of the machine that it was made on stood where `make demo` writes."""
    assert [line for line in git("ls-files", "--stage") if not line.startswith("100")] == []


def test_what_is_written_by_use_is_not_kept():
    assert git("ls-files", "--cached", "--ignored", "--exclude-standard") == []
