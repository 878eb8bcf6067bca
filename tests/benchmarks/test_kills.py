"""Killed commands go on; and the comparison with a whole run notices what is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks.robustness.kills import JOBS, torture
from benchmarks.support.results import same_files, same_scene, same_weights


def test_a_killed_command_goes_on(tmp_path):
    outcome = torture("test", kills=2, seed=0, folder=tmp_path)
    assert outcome.kills == 2
    assert outcome.faults == ()


def test_other_weights_are_noticed(tmp_path):
    for name, value in (("one", 0.0), ("same", 0.0), ("other", 1e-7)):
        folder = tmp_path / name / "ckpts/run"
        folder.mkdir(parents=True)
        torch.save({"state_dict": {"a": torch.full((2,), value)}}, folder / "last.ckpt")
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    assert same_weights(one, same) == []
    assert same_weights(one, other) == ["weights differ: a"]
    (same / "ckpts/run/epoch=1.ckpt").touch()
    assert same_weights(one, same) == ["checkpoint of one alone: epoch=1.ckpt"]


def test_other_files_are_noticed(tmp_path):
    one, other = (_results(tmp_path / name) for name in ("one", "other"))
    assert same_files(one, other) == []
    (other / "results/000.png").write_bytes(b"b")
    (other / "results/001.png").write_bytes(b"a")
    assert same_files(one, other) == ["of one alone: results/001.png", "differs: results/000.png"]


def test_other_poses_are_noticed(tmp_path):
    for name, shift in (("one", 0.0), ("near", 0.001), ("far", 0.1)):
        table = np.arange(34.0).reshape(2, 17)
        table[1, 3] += shift
        (tmp_path / name / "prepared").mkdir(parents=True)
        np.save(tmp_path / name / "prepared/poses_bounds.npy", table)
    assert same_scene(tmp_path / "one", tmp_path / "near") == []
    assert same_scene(tmp_path / "one", tmp_path / "far") == ["poses differ by 0.100"]


def test_each_command_is_killed():
    assert {job.script for job in JOBS.values()} == {"train", "eval", "prepare"}


def _results(folder: Path) -> Path:
    (folder / "results").mkdir(parents=True)
    (folder / "results/000.png").write_bytes(b"a")
    (folder / "results/metrics.json").write_text('{"views": [1], "seconds": 2}')
    return folder
