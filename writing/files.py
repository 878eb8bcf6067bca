"""A file appears under its final name only when it is whole."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from errors import UserError

# A file that is not whole yet: of which process, before its ending.
_UNFINISHED = re.compile(r"\..*\.part(\d+)(\.[^.]*)?", re.DOTALL)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its ending, that replaces it when the block succeeds.

    Where it fails, `path` stays as it was and nothing is left beside it; what killed processes
    have left in the folder is removed first. An OSError that names no file, or the temporary one,
    names `path`; a full disk is an OSError, whatever the block raised for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path.parent)
    temporary = unfinished(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        # NumPy and PyTorch tell of a full disk in words of their own, without the system's number.
        number = getattr(error, "errno", None) or _why_not_written(path.parent)
        if number is None:
            raise
        if isinstance(error, OSError) and error.errno is not None:
            if error.filename in (None, str(temporary)):
                error.filename = str(path)
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """`path`, and no file of that name after the block."""
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Where this process keeps a file or folder until it is whole."""
    return path.with_name(f".{path.stem}.part{os.getpid()}{path.suffix}")


def is_unfinished(path: Path) -> bool:
    """Whether a file's name is that of one that is being written."""
    return _UNFINISHED.fullmatch(path.name) is not None


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files and folders that killed processes have left in a folder."""
    with os.scandir(folder) as entries:
        found = [match for entry in entries if (match := _UNFINISHED.fullmatch(entry.name))]
    for match in found:
        if not _is_running(int(match[1])):
            left = folder / match[0]
            with contextlib.suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def check_writable(folder: Path) -> None:
    """Make the folder; raises OSError where no file can be written there."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def check_room(folder: Path, needed: int, purpose: str) -> None:
    """Raise UserError where the disk of a folder has less than so many bytes free.

    For libraries that end the whole process on a full disk, or write half a file without a word.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: {purpose} may take {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free: "
            "make room or write elsewhere, and start again; what is done stays"
        )


def write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def write_png(path: Path, image: UInt8[np.ndarray, "height width 3"]) -> None:
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, compress_level=4)


def _why_not_written(folder: Path) -> int | None:
    """The system's number for why it takes no megabyte more; None where it does."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(1 << 20))
    except OSError as error:
        return error.errno
    return None


def _is_running(process: int) -> bool:
    if os.name == "nt":
        return True  # there is no asking without ending it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # somebody else's
    return True
