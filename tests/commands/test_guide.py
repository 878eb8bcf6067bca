"""The guide names functions and pictures that exist."""

from __future__ import annotations

import importlib
import re
import shlex

import pytest
from PIL import Image

from cli import parse
from learn.image2d.options import FitOptions
from opt import EvalOptions, parse_training
from plot_rays import PlotOptions
from report import ReportOptions
from tests.conftest import ROOT

DOCS = ROOT / "docs"
GUIDE = (DOCS / "how-nerf-works.md").read_text()
OPTIONS = {
    "eval.py": EvalOptions,
    "fit_image.py": FitOptions,
    "plot_rays.py": PlotOptions,
    "report.py": ReportOptions,
}


def test_pictures_exist_and_are_small():
    names = re.findall(r"\]\((images/[^)]*)\)", GUIDE)
    assert len(names) >= 9
    for name in names:
        with Image.open(DOCS / name) as image:
            assert max(image.size) <= 1200
    assert sum((DOCS / name).stat().st_size for name in names) < 1_500_000


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(\w+(?:\.\w+)+)[(`]", GUIDE))))
def test_functions_exist(name: str):
    if name.endswith(".py"):
        assert (DOCS.parent / name).is_file()
        return
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


def test_commands_have_these_options():
    blocks = re.findall(r"^```\w*\n(.*?)^```$", GUIDE, flags=re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("python ")]
    assert len(commands) >= 6
    for _, script, *words in commands:
        if script == "train.py":
            parse_training(words)
        else:
            parse(OPTIONS[script], words)
