"""Running cases in a child process, and counting how they end."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.worker import SECONDS

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Result:
    """How the cases of a target ended, and those that failed with what they said."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)


class Campaign:
    """A child process that runs cases; a new one after a case that hangs or ends it.

    Args:
        names: of the targets.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._child: subprocess.Popen[bytes] | None = None
        self._rest = b""

    def __enter__(self) -> Campaign:
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, target: str, number: int) -> str:
        """How the case ended, as worker.run_case says; or that it hangs or ends the process."""
        if self._child is None:
            self._begin()
        child = self._child
        assert child is not None
        assert child.stdin is not None
        child.stdin.write(f"{target} {number}\n".encode())
        child.stdin.flush()
        answer = self._answer(SECONDS + 10)
        if answer is None:
            time.sleep(0.5)  # one that has just ended is not known to have at once
            code = child.poll()
            self._end()
            return "fail: hangs" if code is None else f"fail: ends the process ({code})"
        return answer

    def run_many(self, target: str, numbers: range) -> Result:
        result = Result()
        for number in numbers:
            self.count(result, number, self.run(target, number))
        return result

    @staticmethod
    def count(result: Result, number: int, outcome: str) -> None:
        kind = outcome.split(":")[0]
        result.counts[kind] += 1
        if kind == "fail":
            result.failures[number] = outcome

    def _begin(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", *self._names],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
        self._rest = b""
        if self._answer(300) != "ready":
            raise RuntimeError("the fuzzer's process does not start: python -m tests.fuzz.worker")

    def _answer(self, seconds: float) -> str | None:
        """The child's next line; None where none comes in time, or it has ended."""
        assert self._child is not None
        assert self._child.stdout is not None
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._child.stdout], [], [], seconds)
            more = os.read(self._child.stdout.fileno(), 65536) if ready else b""
            if not more:
                return None
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None
