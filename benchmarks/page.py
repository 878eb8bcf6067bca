"""docs/benchmarks.md from the records, always the same from the same records.

    python -m benchmarks.page

A row for each record in each table that has a figure of it. The terminal is told how old each
record is, in commits; the page, which would change with each commit, has commit and date alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.record import RESULTS, TOPICS, Record, Value, read_records
from benchmarks.support.machine import ROOT, commits_since
from cli import parse
from errors import run_command
from writing.files import write_bytes

PAGE = ROOT / "docs" / "benchmarks.md"
_HEAD = """# Benchmarks

Generated from the records in [benchmarks/results](../benchmarks/results) by
`python -m benchmarks.page`; do not edit it. A record says which commit was measured on which
machine, when and by which command; repeat the command with `--record NAME` to write a new one, and
run `python -m benchmarks.page` again, which also tells which records are older than the code at
hand.

Figures are medians over the seeds or rounds, with the lowest and highest run in brackets, or
single runs. PSNR and SSIM are those of `eval.py`, of saved 8-bit images, means over the views. Rows
whose commit says README (or docstring) were taken from there, with the commit's date: that commit,
or one shortly before it, was measured. What single choices bring is in
[ablations.md](ablations.md).
"""
_COLUMNS = ("what", "figures", "command", "commit", "machine", "date")


@dataclass(frozen=True)
class Options:
    """Generate docs/benchmarks.md."""

    results: str = str(RESULTS)
    """folder of the records"""
    out: str = str(PAGE)
    """the page"""


def main() -> None:
    options = parse(Options)
    records = read_records(Path(options.results))
    write_bytes(Path(options.out), page(records).encode())
    for name, record in records.items():
        print(f"{name}: {age(record)}")
    print(options.out)


def page(records: dict[str, Record]) -> str:
    """The page's text, in Markdown."""
    parts = [_HEAD]
    for topic, heading in TOPICS.items():
        rows = [row(record, topic) for record in records.values() if figures(record, topic)]
        if rows:
            rule = "|".join(["---"] * len(_COLUMNS))
            table = [f"| {' | '.join(_COLUMNS)} |", f"|{rule}|", *rows]
            parts.append(f"## {heading}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def row(record: Record, topic: str) -> str:
    """A record's row in the table of a topic."""
    commands = "<br>".join(f"`{command}`" for command in record.commands)
    what = f"{record.title}<br>*{record.note}*" if record.note else record.title
    return _cells(
        *(what, figures(record, topic), commands, commit_text(record), machine_text(record)),
        record.date[:10],
    )


def figures(record: Record, topic: str) -> str:
    """The figures of a record that belong to a topic; "" for none."""
    return "<br>".join(figure(value) for value in record.values if value.topic == topic)


def figure(value: Value) -> str:
    """A figure with its name and unit, and its lowest and highest run."""
    shape = ".10g" if value.digits is None else f".{value.digits}f"
    text = f"{value.name}: {value.value:{shape}} {value.unit}".rstrip()
    if value.runs:
        low, high = min(value.runs), max(value.runs)
        text += f" [{low:{shape}} to {high:{shape}}, {len(value.runs)} runs]"
    return text


def commit_text(record: Record) -> str:
    """The commit, and where the code differed from it, or the figure was taken from."""
    text = record.commit[:7] + (" with changes" if record.dirty else "")
    return f"{text} ({record.source.split(' at ')[0]})" if record.source else text


def machine_text(record: Record) -> str:
    """The machine in a few words."""
    machine, versions = record.machine, record.versions
    words = [str(machine[name]) for name in ("gpu", "cpu") if name in machine]
    for name, unit in (("cores", "cores"), ("threads", "threads"), ("ram_gb", "GB")):
        if name in machine:
            plural = unit[:-1] if machine[name] == 1 and unit.endswith("s") else unit
            words.append(f"{machine[name]:g} {plural}")
    words += [f"PyTorch {versions['torch']}"] if "torch" in versions else []
    return ", ".join(words)


def age(record: Record) -> str:
    """How far a record is behind the code that is checked out."""
    count = commits_since(record.commit)
    if count is None:
        return f"measured at {record.commit[:7]}"
    if count == 0:
        return "at this commit" + (" with changes" if record.dirty else "")
    return f"measured at {record.commit[:7]}, {count} commit{'s' if count > 1 else ''} ago"


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    run_command(main)
