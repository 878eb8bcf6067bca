"""Records of measurements, and the page that is made of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.page import PAGE, age, figure, page
from benchmarks.record import Record, Value, median_of, read_record, read_records, write_record
from benchmarks.support.machine import commit
from errors import UserError
from tests.conftest import ROOT
from tests.scenes import write_blender

RECORD = Record(
    "lego, voxels, 60 s",
    (
        median_of("PSNR, 25 test views", [33.604, 33.5, 33.7], "dB", "quality"),
        Value("rendering a view", 0.07, "s", "speed"),
    ),
    ("python -m benchmarks.quality --root_dir lego | tee log",),
    "0123456789abcdef0123456789abcdef01234567",
    True,
    "2026-11-26T18:00:00+00:00",
    {"cpu": "Xeon", "cores": 2, "threads": 1, "ram_gb": 23.5},
    {"python": "3.11.2", "torch": "2.13.0"},
    (0, 1, 2),
)


def test_a_record_is_read_as_it_was_written(tmp_path):
    write_record(tmp_path / "one.json", RECORD)
    assert read_record(tmp_path / "one.json") == RECORD
    assert read_records(tmp_path) == {"one": RECORD}


@pytest.mark.parametrize(
    "change", [{"commit": None}, {"values": [{"name": "x"}]}, {"unknown": 1}, {"values": None}]
)
def test_a_damaged_record_is_told_by_its_file(tmp_path, change):
    path = tmp_path / "one.json"
    write_record(path, RECORD)
    content = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    with pytest.raises(UserError, match=r"one\.json"):
        read_record(path)


def test_an_unknown_topic_is_refused():
    with pytest.raises(ValueError, match="colour"):
        Value("x", 1.0, "s", "colour")


def test_a_figure_shows_its_runs_with_as_many_decimals():
    assert figure(RECORD.values[0]) == "PSNR, 25 test views: 33.60 dB [33.50 to 33.70, 3 runs]"
    assert figure(Value("steps", 1200, "", "quality")) == "steps: 1200"


def test_a_figure_stands_in_the_table_of_its_topic():
    text = page({"one": RECORD})
    quality, speed = text.split("## Quality")[1].split("## Speed")
    assert "33.60 dB" in quality
    assert "0.07 s" not in quality
    assert "rendering a view: 0.07 s" in speed
    assert "0123456 with changes" in speed
    assert "Xeon, 2 cores, 1 thread, 23.5 GB, PyTorch 2.13.0 | 2026-11-26 |" in speed
    assert "lego \\| tee log" in speed
    assert "## Memory" not in text
    from_readme = replace(RECORD, dirty=False, source="README at 0123456")
    assert "| 0123456 (README) |" in page({"one": from_readme})


def test_a_record_says_how_old_it_is():
    assert age(RECORD) == "measured at 0123456"  # git knows no such commit
    if commit() != "unknown":
        assert age(replace(RECORD, commit=commit(), dirty=False)) == "at this commit"


def test_the_page_is_what_the_command_makes():
    assert PAGE.read_text() == page(read_records()), "run: python -m benchmarks.page"


@pytest.mark.parametrize("name", read_records())
def test_each_record_has_its_evidence(name):
    record = read_records()[name]
    assert re.fullmatch("[0-9a-f]{40}", record.commit)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", record.date)
    assert record.values
    assert record.machine
    assert record.commands or record.source


def test_quality_is_measured_by_the_real_commands(tmp_path):
    write_blender(tmp_path / "ball")
    args = ["--root_dir", "ball", "--max_steps", "20", "--seeds", "3", "--record", "ball.json"]
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.quality", *args, "--train_flags=--accelerator cpu"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    record = read_record(tmp_path / "ball.json")
    values = {value.name: value for value in record.values}
    assert values["PSNR, 3 test views"].value > 5
    assert values["steps"].value == 20
    assert values["peak of training"].value > 100
    assert record.seeds == (3,)
    assert record.commands[0].startswith("python -m benchmarks.quality --root_dir ball")
    assert record.commands[1].startswith("python train.py")
    assert record.commands[2].startswith("python eval.py")
    assert record.output[0].startswith("20 steps in")
