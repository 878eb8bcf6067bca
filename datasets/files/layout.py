"""Whether plain values from a file are laid out as they should be."""

from __future__ import annotations

from typing import Any

from datasets.files.numbers import LARGEST, shown
from errors import UserError

# What a value must be: a type (int for whole numbers, float for any, list for tuples too), [layout]
# for a list of such, {str: layout} for any names, {"name": layout, ...} for these: each of them may
# be absent or null, and there may be others.
Layout = Any


def check_layout(value: Any, layout: Layout, where: str) -> Any:
    """The value, where it is laid out like this.

    Args:
        where: the file, for the message.

    Raises UserError naming the key and the value that is not.
    """
    if isinstance(layout, list):
        _require(isinstance(value, list | tuple), where, "a list", value)
        for number, entry in enumerate(value):
            check_layout(entry, layout[0], f"{where}[{number}]")
    elif isinstance(layout, dict):
        _require(isinstance(value, dict), where, "an object", value)
        for key in value if str in layout else layout:
            if str in layout or value.get(key) is not None:
                check_layout(value[key], layout.get(str, layout.get(key)), f'{where}: "{key}"')
    elif layout is float:
        number = isinstance(value, float) or (_is_int(value) and abs(value) < LARGEST)
        _require(number, where, "a number", value)
    elif layout is int:
        _require(_is_int(value) and abs(value) < LARGEST, where, "a whole number", value)
    elif layout is list:
        _require(isinstance(value, list | tuple), where, "a list", value)
    else:
        _require(isinstance(value, layout), where, f"a {layout.__name__}", value)
    return value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(condition: bool, where: str, what: str, value: Any) -> None:
    if not condition:
        raise UserError(f"{where} must be {what}, not {shown(value)}")
