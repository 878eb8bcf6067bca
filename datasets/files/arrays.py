"""NumPy files from users: read without unpickling, and no more than the file holds."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from datasets.files.text import is_file, read_bytes
from errors import UserError

# An array in an archive that is this large, and this many times as large as what is stored of it,
# is no photos: a few kilobytes of zeros that fill the memory.
_LARGE, _PACKED = 512 * 2**20, 200
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_array(path: Path) -> np.ndarray:
    """The array of a .npy file. Raises UserError where it is missing, damaged or holds objects."""
    content = read_bytes(path)
    if content.startswith(b"PK"):
        raise UserError(f"{path}: holds several arrays, not one")
    try:
        return _parse(content, str(path))
    except UserError:
        raise
    except Exception as error:  # NumPy evaluates the header as Python, with all that may go wrong
        raise UserError(_damaged(path, error)) from error


def read_arrays(path: Path, wanted: Collection[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of these names in an .npz file, and the names of all that it holds.

    Raises UserError where the file is missing, damaged, encrypted or holds objects under a name
    that is wanted.
    """
    if not is_file(path):
        raise UserError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            if file.read(6) == b"\x93NUMPY":
                raise UserError(f"{path}: holds one array, not the named ones of an .npz file")
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            arrays = {
                name: _from_archive(archive, entries[name], f"{path}: {name}")
                for name in wanted
                if name in entries
            }
    except UserError:
        raise
    except Exception as error:  # zipfile and zlib raise some ten kinds for damaged archives
        raise UserError(_damaged(path, error)) from error
    return arrays, sorted(entries)


def _from_archive(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, what: str) -> np.ndarray:
    if entry.file_size > max(_LARGE, _PACKED * entry.compress_size):
        raise UserError(
            f"{what}: {entry.compress_size} bytes claim to be {entry.file_size}; damaged"
        )
    return _parse(archive.read(entry), what)


def _parse(content: bytes, what: str) -> np.ndarray:
    """The array, read-only, of what is stored in NumPy's format."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise UserError(f"{what}: NumPy's format {version} is not known; save it again")
    shape, fortran_order, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise UserError(
            f"{what}: holds Python objects, which could run code; save plain number arrays"
        )
    if dtype.kind not in "fiub" or dtype.itemsize > 16:
        raise UserError(f"{what}: holds {dtype}, not numbers")
    count, start = math.prod(shape), stream.tell()
    if min(shape, default=0) < 0 or count * dtype.itemsize > len(content) - start:
        raise UserError(f"{what}: damaged (its header says {shape}, which it does not hold)")
    array = np.frombuffer(content, dtype, count, start)
    array = array.reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _damaged(path: Path, error: Exception) -> str:
    return f"{path}: damaged or not a NumPy file ({error or type(error).__name__})"
