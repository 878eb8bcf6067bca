"""Records: measured figures with commit, machine, versions, date, seeds and command.

A record is benchmarks/results/<name>.json. `python -m benchmarks.page` makes docs/benchmarks.md
of all of them. A script's options inherit RecordOptions, and its main does

    recorder = Recorder(options.record)  # before the measurement: notes commit and machine
    ...
    recorder.write("what was measured", [single("PSNR", psnr, "dB", "quality")], seeds=[0])
"""

from __future__ import annotations

import json
import shlex
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.support.machine import commit, has_changes, machine, versions
from errors import UserError
from writing.files import write_json

RESULTS = Path(__file__).parent / "results"
# In the order of the page.
TOPICS = {
    "quality": "Quality",
    "speed": "Speed",
    "memory": "Memory",
    "start-up": "Start-up",
    "scaling": "Scaling",
    "capture": "Photos to a scene",
    "tests": "Tests",
}


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """Where a benchmark writes its figures."""

    record: str = ""
    """write benchmarks/results/NAME.json (or a file of your own, ending in .json)"""


@dataclass(frozen=True)
class Value:
    """One figure.

    Attributes:
        name: what it is.
        value: the number, in `unit`.
        unit: dB, s, ms, GB, ...; "" for a plain number.
        topic: the table that shows it, one of TOPICS.
        runs: the single runs, where `value` is their median.
        digits: decimals that are shown; None for as many as `value` has.
    """

    name: str
    value: float
    unit: str
    topic: str
    runs: tuple[float, ...] = ()
    digits: int | None = None

    def __post_init__(self) -> None:
        if self.topic not in TOPICS:
            raise ValueError(f"{self.name}: topic {self.topic}, not one of {', '.join(TOPICS)}")


def median_of(name: str, runs: Sequence[float], unit: str, topic: str, digits: int = 2) -> Value:
    """The median of runs as a figure, rounded to so many decimals."""
    rounded = tuple(round(run, digits) for run in runs)
    return Value(
        *(name, round(statistics.median(runs), digits), unit, topic),
        *(rounded if len(rounded) > 1 else (), digits),
    )


def single(name: str, value: float, unit: str, topic: str, digits: int = 2) -> Value:
    """A figure of one run, rounded to so many decimals."""
    return Value(name, round(value, digits), unit, topic, digits=digits)


@dataclass(frozen=True)
class Record:
    """Figures that one measurement gave.

    Attributes:
        title: what was measured, on what.
        values: the figures.
        commands: what to type, in order.
        commit, dirty: the code; dirty where files differed from the commit.
        date: when the measurement began, ISO 8601.
        machine: "cpu", "cores", "threads", "ram_gb", "gpu", as far as known.
        versions: of "python" and "torch", as far as known.
        seeds: of the runs.
        note: what else must be known to read the figures.
        source: where a figure was taken from that was not measured by these scripts.
        output: lines that the commands printed.
    """

    title: str
    values: tuple[Value, ...]
    commands: tuple[str, ...]
    commit: str
    dirty: bool
    date: str
    machine: dict[str, Any]
    versions: dict[str, str]
    seeds: tuple[int, ...] = ()
    note: str = ""
    source: str = ""
    output: tuple[str, ...] = field(default=())


class Recorder:
    """Notes the code, the machine and the time at once, and writes the record at the end.

    Args:
        name: of the record, or a file that ends in .json; "" writes nothing.
    """

    def __init__(self, name: str) -> None:
        self.path: Path | None = None
        if name:
            is_file = name.endswith(".json")
            self.path = Path(name) if is_file else RESULTS / f"{name}.json"
            self.commit, self.dirty = commit(), has_changes()
            self.date = datetime.now(UTC).isoformat(timespec="seconds")

    def write(
        self,
        title: str,
        values: Sequence[Value],
        seeds: Sequence[int] = (),
        commands: Sequence[str] = (),
        output: Sequence[str] = (),
        note: str = "",
    ) -> None:
        """Write the record, if it has a name.

        Args:
            commands: where they are not this program's own command line alone.
        """
        if self.path is None:
            return
        record = Record(
            *(title, tuple(values), (own_command(), *commands), self.commit, self.dirty),
            *(self.date, machine(), versions(), tuple(seeds), note),
            output=tuple(output),
        )
        write_record(self.path, record)
        print(f"{self.path}; python -m benchmarks.page puts it into docs/benchmarks.md")


def own_command() -> str:
    """The command line of this program, as it was typed."""
    spec = sys.modules["__main__"].__spec__
    program = ["-m", spec.name] if spec is not None else [sys.argv[0]]
    return shlex.join(["python", *program, *sys.argv[1:]])


def write_record(path: Path, record: Record) -> None:
    """Write a record, without what is empty."""
    plain = {name: value for name, value in asdict(record).items() if value not in ("", (), {})}
    plain["values"] = [
        {name: value for name, value in asdict(v).items() if value not in ((), None)}
        for v in record.values
    ]
    write_json(path, plain)


def read_record(path: Path) -> Record:
    """A record from its file. Raises UserError where something is missing or unknown."""
    try:
        plain = json.loads(path.read_text())
        for name in ("commands", "seeds", "output"):
            plain[name] = tuple(plain.get(name, ()))
        values = [{**value, "runs": tuple(value.get("runs", ()))} for value in plain["values"]]
        plain["values"] = tuple(Value(**value) for value in values)
        plain = {"machine": {}, "versions": {}, **plain}
        return Record(**plain)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a record: {error}") from error


def read_records(folder: Path = RESULTS) -> dict[str, Record]:
    """All records of a folder by name, in the order of their names."""
    return {path.stem: read_record(path) for path in sorted(folder.glob("*.json"))}
