"""pyproject.toml, requirements.txt, constraints.txt and CHANGELOG.md say the same."""

from __future__ import annotations

import re
import tomllib

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lines(name: str) -> list[str]:
    """The entries of a file of requirements."""
    rows = (row.partition("#")[0].strip() for row in (ROOT / name).read_text().splitlines())
    return [row for row in rows if row]


def test_dependencies_are_those_of_requirements():
    assert PROJECT["dependencies"] == lines("requirements.txt")
    assert PROJECT["optional-dependencies"]["dev"] == lines("requirements-dev.txt")


def test_constraints_pin_each_of_them():
    def plain(name: str) -> str:
        return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=]", name)[0]).lower()

    pinned = {plain(row) for row in lines("constraints.txt")}
    asked = {plain(row) for row in (*lines("requirements.txt"), *lines("requirements-dev.txt"))}
    assert asked <= pinned


def test_the_version_is_the_newest_in_the_changelog():
    versions = re.findall(r"^## (\d+\.\d+\.\d+) - ", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == PROJECT["version"]
    assert versions == sorted(versions, key=lambda v: [int(n) for n in v.split(".")], reverse=True)
