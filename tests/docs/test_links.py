"""Links, names and commands in the pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from capture.config import PrepareConfig
from cli import parse
from datasets import dataset_dict
from learn.image2d.options import FitOptions
from models import model_dict
from opt import EvalOptions, parse_training
from plot_model import ModelPlotOptions
from plot_rays import PlotOptions
from report import ReportOptions
from tests.conftest import ROOT
from tests.docs.page import DOCS, blocks, commands

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md")]
OPTIONS = {
    "eval.py": EvalOptions,
    "prepare.py": PrepareConfig,
    "fit_image.py": FitOptions,
    "plot_rays.py": PlotOptions,
    "plot_model.py": ModelPlotOptions,
    "report.py": ReportOptions,
}
# Commands of records are those of their commits; models and formats here are the page's own.
OTHERS = ("add-a-field.md", "add-a-dataset.md", "benchmarks.md")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_formulas_are_where_the_architecture_says():
    text = (DOCS / "architecture.md").read_text(encoding="utf-8").replace("\\_", "_")
    rows = re.findall(r"^\| [^|]+ \| ([\w/]+\.py) \| (?:`([\w.]+)`)? ?\|$", text, flags=re.M)
    assert len(rows) > 50
    for file, name in rows:
        source = (ROOT / file).read_text(encoding="utf-8")
        for part in name.split(".") if name else ():
            assert re.search(rf"^\s*(def|class) {part}\b|^{part}\b", source, re.M), (
                f"{file}: {name}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_these_options(page: Path):
    if page.name in OTHERS:
        return
    for _, script, *words in commands(page):
        words = [word for word in words if word != "..."]
        if script == "train.py":
            parse_training(words)
        elif script in OPTIONS:
            parse(OPTIONS[script], words)


def test_the_readme_is_short_and_complete():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) < 8000
    assert all(f"`{name}`" in text for name in model_dict)
    training = (DOCS / "training.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in training for name in (*model_dict, *dataset_dict))
    assert {"make demo", "make test"} <= set(re.findall(r"make \w+", blocks(ROOT / "README.md")[0]))


def test_each_page_is_in_the_index():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert [
        p.name for p in DOCS.glob("*.md") if p.name != "README.md" and p.name not in index
    ] == []
