"""Whether two runs of a command have left the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

Differences = list[str]

# Poses of two solves of the same photos differ by the order in which their features came.
_POSES_DIFFER = 0.02  # in scene units, in which the cameras are about 1 away


def same_weights(one: Path, other: Path) -> Differences:
    """Names of checkpoints in ckpts/run, and the last one's weights, bit by bit."""
    names = [{path.name for path in (side / "ckpts/run").iterdir()} for side in (one, other)]
    found = [f"checkpoint of one alone: {name}" for name in sorted(names[0] ^ names[1])]
    first, second = (
        torch.load(side / "ckpts/run/last.ckpt", weights_only=True)["state_dict"]
        for side in (one, other)
    )
    if first.keys() != second.keys():
        return [*found, "other weights"]
    differ = [name for name in first if not torch.equal(first[name], second[name])]
    return found + [f"weights differ: {name}" for name in differ]


def same_files(one: Path, other: Path) -> Differences:
    """The files of results/, byte by byte; of JSON the views' measures alone, not the times."""
    found = _names(one, other, "results")
    for path in _files(one / "results"):
        twin = other / path.relative_to(one)
        if not twin.is_file():
            continue
        if path.name == "metrics.json":
            same = _views(path) == _views(twin)
        else:
            same = path.suffix == ".json" or path.read_bytes() == twin.read_bytes()
        if not same:
            found.append(f"differs: {path.relative_to(one)}")
    return found


def same_scene(one: Path, other: Path) -> Differences:
    """The files of prepared/, and nearly the same poses."""
    found = _names(one, other, "prepared", without=".prepare")
    tables = [np.load(side / "prepared/poses_bounds.npy") for side in (one, other)]
    if tables[0].shape != tables[1].shape:
        return [*found, f"{len(tables[0])} and {len(tables[1])} photos placed"]
    distance = np.abs(tables[0][:, 3:15:5] - tables[1][:, 3:15:5]).max()
    return found + ([f"poses differ by {distance:.3f}"] if distance > _POSES_DIFFER else [])


def _names(one: Path, other: Path, folder: str, without: str = " ") -> Differences:
    names = [
        {path.relative_to(side).as_posix() for path in _files(side / folder)}
        for side in (one, other)
    ]
    return [f"of one alone: {name}" for name in sorted(names[0] ^ names[1]) if without not in name]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _views(path: Path) -> object:
    return json.loads(path.read_text())["views"]
