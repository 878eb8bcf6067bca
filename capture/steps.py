"""A run in steps that need not be repeated: what is finished is written down with its inputs."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pycolmap

from errors import explain
from writing.files import write_bytes
from writing.progress import progress_bar

T = TypeVar("T")

# Raised when steps change what they make, so that older results are not taken for new ones.
_VERSION = 1


class Steps:
    """The finished steps of a folder, in steps.json.

    A step is finished for the inputs that it had: others make it run again.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "steps.json"
        self.entries = _read(self.path)

    def run(
        self, name: str, inputs: Any, make: Callable[[], Any], outputs: tuple[Path, ...] = ()
    ) -> Any:
        """The step's result: as written down, or from `make`, which is then written down.

        Args:
            name: of the step.
            inputs: plain values that the result depends on.
            make: does the step, returns plain values.
            outputs: files that must still be there.
        """
        key = digest(inputs)
        entry = self.entries.get(name)
        if entry and entry["key"] == key and all(path.exists() for path in outputs):
            return entry["result"]
        result = make()
        self.entries[name] = {"key": key, "result": result, "sum": digest(_as_read(result))}
        # Without the line breaks of files for people: it is written after every photo.
        write_bytes(self.path, json.dumps(self.entries).encode())
        return result


def own(steps: Steps) -> None:
    """Write down, before the first result, that the results in the scene's folder are ours."""
    steps.run("owner", "", lambda: True)


class Damaged(Exception):
    """What a step has left is not as it was left."""


def is_of_damage(error: Exception, folder: Path) -> bool:
    """Whether an error comes of what steps have left in a folder, as far as can be told.

    Whatever a reader may raise counts, but for what has another cause: the user, the machine.
    """
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return folder.resolve() in Path(error.filename).resolve().parents
    return explain(error) is None


def forget(folder: Path) -> None:
    """Remove what steps have left, but that the results in the scene's folder are ours."""
    ours = "owner" in Steps(folder).entries
    shutil.rmtree(folder)
    if ours:
        own(Steps(folder))


def _read(path: Path) -> dict[str, Any]:
    """The entries that are as they were written; without the others, their steps run again."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # nothing finished, or nothing known of it
    if not isinstance(entries, dict):
        return {}
    return {
        name: entry
        for name, entry in entries.items()
        if isinstance(entry, dict)
        and {"key", "result"} <= entry.keys()
        # Those of earlier versions have no sum.
        and ("sum" not in entry or entry["sum"] == digest(entry["result"]))
    }


def _as_read(result: Any) -> Any:
    """A step's result as it comes back from the file: lists for tuples, names for numbers."""
    return json.loads(json.dumps(result))


def digest(values: Any) -> str:
    """A short name for plain values."""
    text = str(_VERSION) + json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def watch(
    label: str,
    total: int,
    count: Callable[[], int],
    call: Callable[[pycolmap.CancellationToken], T],
) -> T:
    """Run a long call of pycolmap in a thread, with a progress bar and its time left.

    pycolmap lets Python run meanwhile, so that `count` can look how far it is, and Ctrl-C can
    stop it.
    """
    token = pycolmap.CancellationToken()
    outcome: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(call(token))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    with progress_bar(total=total, desc=label, initial=min(count(), total)) as bar:
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.2)
                bar.update(min(count(), total) - bar.n)
        except KeyboardInterrupt:
            token.cancel()
            thread.join()
            raise
        bar.update(min(count(), total) - bar.n)
    if errors:
        raise errors[0]
    return outcome[0]
