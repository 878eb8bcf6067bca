"""The child process: runs cases as they are asked for, and says of each how it ended."""

from __future__ import annotations

import contextlib
import io
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

SECONDS, MEBIBYTES = 20, 2048


def main() -> None:
    """Read lines of a target, one of those named as arguments, and a case; answer each."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if os.access("/dev/shm", os.W_OK):  # files in memory
        tempfile.tempdir = "/dev/shm"
    import tests.conftest  # noqa: F401  (it has shapes checked at every call)
    from tests.fuzz.targets import TARGETS

    for name in sys.argv[1:]:
        TARGETS[name].prepare()
    answers.write("ready\n")
    for line in sys.stdin:
        name, number = line.split()
        outcome = run_case(TARGETS[name], int(number))
        answers.write(outcome.replace("\n", "\\n") + "\n")


def run_case(target: Any, number: int, show: bool = False) -> str:
    """How a case ended: "value", "line: ...", or what is wrong: "fail: ..."."""
    from errors import UserError

    rng = random.Random(f"{target.name} {number}")
    root = Path(tempfile.mkdtemp(prefix="fuzz"))
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        names = target.damage(root, rng)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            target.read(root, rng)
        outcome = "value"
    except UserError as error:
        line = str(error)
        named = root.name in line or any(Path(name).name in line for name in names)
        outcome = f"line: {line}"
        if not named or not line.isprintable() or len(line) > 1000:
            outcome = f"fail: the line does not name the file or is no line: {line!r}"
    except Exception:
        text = traceback.format_exc()
        if show:
            print(text)
        outcome = f"fail: {text[-1500:]}"
    finally:
        shutil.rmtree(root, ignore_errors=True)
    took = time.monotonic() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    if took > SECONDS or grown > MEBIBYTES:
        outcome = f"fail: {took:.0f} s, {grown} MiB more memory"
    return outcome


if __name__ == "__main__":
    main()
