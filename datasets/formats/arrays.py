"""NumPy files from users: read without unpickling."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from errors import UserError


def load_array(path: Path) -> np.ndarray:
    """The array of a .npy file. Raises UserError where it is missing, damaged or holds objects."""
    array = _load(path)
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: holds several arrays, not one")
    return _numbers(array, str(path))


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name."""
    archive = _load(path)
    if isinstance(archive, np.ndarray):
        raise UserError(f"{path}: holds one array, not the named ones of an .npz file")
    with archive:
        try:
            return {name: _numbers(archive[name], f"{path}: {name}") for name in archive.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(_reason(path, error)) from error


def _load(path: Path) -> np.ndarray | np.lib.npyio.NpzFile:
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(_reason(path, error)) from error


def _numbers(array: np.ndarray, what: str) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise UserError(f"{what}: holds {array.dtype}, not numbers")
    return array


def _reason(path: Path, error: Exception) -> str:
    if "pickle" in str(error):
        return f"{path}: holds Python objects, which could run code; save plain number arrays"
    return f"{path}: damaged or not a NumPy file ({error})"
