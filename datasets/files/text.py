"""Text and JSON from users' files: byte order marks, encodings, sizes."""

from __future__ import annotations

import codecs
import json
import os
import re
from pathlib import Path
from typing import Any

from errors import UserError

# No file of poses, options or results is larger; reading one takes some ten times as much memory.
_LARGEST = 256 * 2**20
# Half of a character, as JSON can spell it.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def is_file(path: Path) -> bool:
    """Whether there is a regular file; False too for names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder; False too for names that none can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, hint: str = "") -> bytes:
    """The file's bytes. Raises UserError where it is missing, no plain file or cannot be read."""
    if not is_file(path):
        kind = "is not a file" if os.path.lexists(path) else "no such file"
        raise UserError(f"{path}: {kind}{hint}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error


def read_text(path: Path, hint: str = "") -> str:
    """The file's text: UTF-8, or as its byte order mark says, or else Latin-1."""
    content = read_bytes(path, hint)
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("latin-1")


def read_json(path: Path, hint: str = "") -> Any:
    """The content of a JSON file.

    Args:
        hint: what to do where there is no such file.

    Raises UserError where it is missing, too large or not JSON.
    """
    if is_file(path) and path.stat().st_size > _LARGEST:
        raise UserError(f"{path}: {path.stat().st_size >> 20} MiB; that is no file of poses")
    try:
        text = read_text(path, hint)
        content = json.loads(text)
        return _encodable(content) if _SURROGATE.search(text) else content
    # Beside its own error: lists in lists without end, integers of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON file ({error})") from error


def read_object(path: Path, hint: str = "") -> dict[str, Any]:
    """The content of a JSON file that holds one object."""
    content = read_json(path, hint)
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a JSON {type(content).__name__}, not an object")
    return content


def _encodable(value: Any) -> Any:
    """Plain values, with halves of characters in their texts replaced: no file can hold those."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_encodable(entry) for entry in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(entry) for key, entry in value.items()}
    return value
