"""The command line: options of any dataclass, mistakes in one line."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
from collections.abc import Sequence
from dataclasses import field, fields, is_dataclass, make_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from errors import UserError

OptionsT = TypeVar("OptionsT")
_registry = ConstructorRegistry()
# No option takes a number beyond this; NaN is not under it either.
_LARGEST = 1e15


def _read_switch(words: list[str]) -> bool | None:
    states = {"true": True, "1": True, "false": False, "0": False, "none": None}
    word = words[0].lower() if words else "true"
    if len(words) > 1 or word not in states:
        raise ValueError(f"expected True or False, got {' '.join(words)}")
    return states[word]


@_registry.primitive_rule
def _switch(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """A switch with three states: absent (detect), `--flag` or `--flag True`, `--flag False`."""
    if info.type != bool | None:
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="[True|False]",
        instance_from_str=_read_switch,
        is_instance=lambda value: value is None or isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )


def parse(
    kind: type[OptionsT],
    args: Sequence[str] | None = None,
    default: OptionsT | None = None,
    nested: dict[str, type] | None = None,
    groups: dict[str, type] | None = None,
) -> OptionsT:
    """Read options of `kind` from `args` (the command line), over those of `default`.

    Args:
        kind: a dataclass; each field is a flag, documented by the string below it.
        nested: fields that hold a dataclass, whose fields become flags too.
        groups: dataclasses that `kind` is made of, by their titles in --help, in its order.

    Raises UserError, in one line, for options that do not fit.
    """
    args = sys.argv[1:] if args is None else args
    parsed: type = kind
    given = default
    if groups:
        parsed = _grouped(kind, {**groups, **(nested or {})}, given)
        default = None
    elif nested:
        more = [(name, own, field(default_factory=own)) for name, own in nested.items()]
        parsed = make_dataclass(kind.__name__, more, bases=(kind,), frozen=True)
        parsed.__doc__ = kind.__doc__
        if default is not None:
            values = {f.name: getattr(default, f.name) for f in fields(cast(Any, kind))}
            default = parsed(**values)
    # tyro draws its errors as boxes of several lines; take their words.
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            options = tyro.cli(
                parsed,
                args=args,
                default=default,
                use_underscores=True,
                config=(tyro.conf.OmitArgPrefixes,),
                registry=_registry,
            )
            return cast(OptionsT, _flat(kind, options, nested or {}) if groups else options)
    except SystemExit as stop:
        if stop.code != 2:
            raise
    lines = [line.strip(" │") for line in box.getvalue().splitlines() if line.startswith("│")]
    first_rule = next((i for i, line in enumerate(lines) if line.startswith("──")), len(lines))
    text = " ".join(lines[:first_rule])
    if "Perhaps you meant:" in lines:
        text += f" (perhaps you meant {lines[lines.index('Perhaps you meant:') + 1]})"
    raise UserError(f"{text or box.getvalue().strip()}; see --help")


def _grouped(kind: type, groups: dict[str, type], default: Any) -> type:
    """A dataclass with one field for each group, whose values are those of `default`."""
    members = []
    for title, group in groups.items():
        start = getattr(default, title, None)
        if not isinstance(start, group):
            start = group(**{f.name: getattr(default, f.name) for f in fields(cast(Any, group))})
        members.append((title, group, field(default=start)))
    parsed = make_dataclass(kind.__name__, members, frozen=True)
    parsed.__doc__ = kind.__doc__
    return parsed


def _flat(kind: type, options: Any, nested: dict[str, type]) -> Any:
    """An instance of `kind` from its groups."""
    values = {}
    for own in fields(options):
        value = getattr(options, own.name)
        if own.name in nested:
            values[own.name] = value
        else:
            values |= {f.name: getattr(value, f.name) for f in fields(value)}
    return kind(**values)


def typed_command() -> str:
    """The command line as it can be typed again."""
    return shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]])


def read_flag(args: Sequence[str], name: str) -> str | None:
    """The word that follows --name in a command line ("" where none does); None without it."""
    for i, arg in enumerate(args):
        flag, equals, value = arg.partition("=")
        if flag.startswith("--") and flag[2:].replace("-", "_") in (name, f"no_{name}"):
            return value if equals else args[i + 1] if i + 1 < len(args) else ""
    return None


def to_dict(options: Any) -> dict[str, Any]:
    """The options as plain values, as a checkpoint keeps them; nested ones beside the others."""
    values = {}
    for own in fields(options):
        value = getattr(options, own.name)
        if is_dataclass(value):
            values.update(to_dict(value))
        else:
            values[own.name] = list(value) if isinstance(value, tuple) else value
    return values


def check_values(kind: type, values: dict[str, Any]) -> None:
    """Raise UserError, naming the option, where a plain value is not of its field's type.

    Args:
        kind: a dataclass of options.
        values: some of its fields, as `to_dict` made them or a file has them.
    """
    hints = get_type_hints(kind)
    for name, value in values.items():
        if not fits(value, hints[name]):
            shown = repr(value) if len(repr(value)) < 60 else f"a {type(value).__name__}"
            raise UserError(f"--{name} cannot be {shown}")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value, and all that a dataclass or tuple holds, is of its annotated type."""
    origin, of = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in of)
    if origin is Literal:
        return isinstance(value, str) and value in of
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        if len(of) == 2 and of[1] is Ellipsis:
            return all(fits(entry, of[0]) for entry in value)
        return len(value) == len(of) and all(map(fits, value, of))
    if hint in (int, float):
        kinds = int if hint is int else int | float
        return isinstance(value, kinds) and type(value) is not bool and abs(value) < _LARGEST
    if hint is NoneType or not isinstance(value, hint):
        return hint is NoneType and value is None
    hints = get_type_hints(hint) if is_dataclass(hint) else {}
    return all(fits(getattr(value, own), hints[own]) for own in hints)
