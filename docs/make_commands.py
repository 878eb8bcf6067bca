"""Write docs/commands.md from the options as they are declared: python -m docs.make_commands"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from capture.config import PrepareConfig
from datasets import dataset_dict
from datasets.config import SceneConfig
from export import ExportOptions
from learn.image2d.options import FitOptions
from models import model_dict
from models.point_model import SamplingConfig
from opt import EvalOptions, TrainOptions
from plot_model import ModelPlotOptions
from plot_rays import PlotOptions
from report import ReportOptions
from training.config import LengthConfig, OutputConfig
from training.optim.config import OptimizerConfig
from view import ViewOptions
from writing.files import write_bytes

PAGE = Path(__file__).with_name("commands.md")
_HEAD = """\
# Commands

<!-- Written by `python -m docs.make_commands` from the options; do not edit. -->

Every command prints its own options with `--help`; `train.py --model NAME --help` those of a \
model. A flag is written with underscores or hyphens. A switch is `--flag` or `--no_flag`; one \
with the values `True` and `False` is decided by itself where it is not given, and `--flag` alone \
means `True`. A mistake ends in one line and exit code 2.
"""


@dataclass(frozen=True)
class Option:
    """One flag as it is declared."""

    name: str
    values: str
    default: str
    help: str


def make_page() -> str:
    """The page's text."""
    parts = [_HEAD, _train()]
    for script, kind in (
        ("eval.py", EvalOptions),
        ("prepare.py", PrepareConfig),
        ("fit_image.py", FitOptions),
        ("plot_rays.py", PlotOptions),
        ("plot_model.py", ModelPlotOptions),
        ("export.py", ExportOptions),
        ("report.py", ReportOptions),
        ("view.py", ViewOptions),
    ):
        parts.append(f"## {script}\n\n{_summary(kind)}\n\n{_table(options_of(kind).values())}")
    return "\n".join(parts)


def options_of(kind: type) -> dict[str, Option]:
    """The options of a dataclass and its bases, by name, in the order of --help."""
    declared: dict[str, tuple[ast.AnnAssign, str]] = {}
    for base in reversed(kind.__mro__):
        if "__dataclass_fields__" not in vars(base):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(tree, ast.ClassDef)
        for line, below in pairwise(tree.body):
            if isinstance(line, ast.AnnAssign) and isinstance(below, ast.Expr):
                declared[ast.unparse(line.target)] = line, ast.literal_eval(below.value)
    types = get_type_hints(kind)
    return {
        name: Option(name, _values(types[name]), _default(line), _one_line(text))
        for name, (line, text) in ((f.name, declared[f.name]) for f in fields(kind))
    }


def _train() -> str:
    own = options_of(TrainOptions)
    own.pop("config")  # the model's own options, below
    groups = {
        "The scene": options_of(SceneConfig),
        "The run": options_of(LengthConfig),
        "The output": options_of(OutputConfig),
        "The optimizer": options_of(OptimizerConfig),
    }
    grouped = {name for group in groups.values() for name in group}
    text = [
        f"## train.py\n\n{_summary(TrainOptions)}\n",
        f"Models: {_names(model_dict)}. Formats: {_names(dataset_dict)}.\n",
        "### The model and its training\n",
        _table(option for name, option in own.items() if name not in grouped),
    ]
    for title, group in groups.items():
        text += [f"### {title}\n", _table(own[name] for name in group)]
    sampled = [n for n, spec in model_dict.items() if issubclass(spec.config, SamplingConfig)]
    sampling = options_of(SamplingConfig)
    text += [f"### Sampling ({', '.join(sampled)})\n", _table(sampling.values())]
    for name, spec in model_dict.items():
        options = options_of(spec.config)
        # Those of sampling are above, unless the model has another default.
        shown = [o for n, o in options.items() if o != sampling.get(n)]
        text += [
            f"### --model {name}\n",
            f"{spec.help[0].upper()}{spec.help[1:]}.\n",
            _table(shown),
        ]
        refused = _names(f"--{n}" for n in own if n in spec.unused_options)
        if refused:
            text.append(f"Refused, as they mean nothing with it: {refused}.\n")
    return "\n".join(text)


def _table(options: Iterable[Option]) -> str:
    rows = ["| option | values | default | what it does |", "|---|---|---|---|"]
    for option in options:
        cells = (f"`--{option.name}`", option.values, option.default, option.help)
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _summary(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "")


def _values(kind: Any) -> str:
    """The type of an option in words."""
    if kind == (bool | None):
        return "`True`, `False`"
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(kind))
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        return f"{_values(first)}s" if others == [...] else f"{1 + len(others)} {_values(first)}s"
    words = {int: "integer", float: "number", str: "word", bool: "switch"}
    return words.get(kind, "")


def _default(line: ast.AnnAssign) -> str:
    """The default as it is typed; empty where the help tells it."""
    if line.value is None:
        return "required"
    source = ast.unparse(line.value)
    if source in ("None", "()", "''"):
        return ""
    value = eval(source, {})  # numbers such as 32 * 1024, and tuples of them
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")


if __name__ == "__main__":
    write_bytes(PAGE, make_page().encode())
    print(PAGE)
