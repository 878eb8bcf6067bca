"""One thread renders for all visitors: the latest view of each, coarse first, finer when still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

ViewT = TypeVar("ViewT")
COARSEST = 96  # pixels of the longer side while the camera moves
STILL = 0.15  # seconds without a new view after which a finer picture is begun


@dataclass
class _Wanted(Generic[ViewT]):
    view: ViewT
    limit: int
    since: float
    done: int = 0  # longer side of the finest picture shown
    number: int = field(default=0)


class RenderLoop(Generic[ViewT]):
    """Keeps one wanted view a visitor, so that no picture of an old view is begun.

    Args:
        render: (visitor, view, longer side in pixels) renders and shows.
        failed: told of what `render` raises; that visitor's view is dropped, the thread goes on.
    """

    def __init__(
        self, render: Callable[[int, ViewT, int], None], failed: Callable[[Exception], None]
    ) -> None:
        self._render = render
        self._failed = failed
        self._wanted: dict[int, _Wanted[ViewT]] = {}
        self._change = threading.Condition()
        self._running = True
        self._count = 0
        self._thread = threading.Thread(target=self._work, name="render", daemon=True)
        self._thread.start()

    def want(self, visitor: int, view: ViewT, limit: int) -> None:
        """The view that a visitor has now, to be refined up to `limit` pixels a side."""
        with self._change:
            self._count += 1
            self._wanted[visitor] = _Wanted(view, limit, time.monotonic(), 0, self._count)
            self._change.notify()

    def forget(self, visitor: int) -> None:
        """A visitor has left."""
        with self._change:
            self._wanted.pop(visitor, None)

    def stop(self) -> None:
        """End the thread, after the picture that it has begun."""
        with self._change:
            self._running = False
            self._change.notify()
        self._thread.join(timeout=5)

    def _next(self) -> tuple[int, _Wanted[ViewT], int] | None:
        """What to render now: moving visitors first, then the coarsest picture."""
        while self._running:
            unfinished = [(v, w) for v, w in self._wanted.items() if w.done < w.limit]
            now = time.monotonic()
            ready = [(v, w) for v, w in unfinished if not w.done or now - w.since >= STILL]
            if ready:
                visitor, wanted = min(ready, key=lambda item: (item[1].done, item[1].number))
                side = 2 * wanted.done if wanted.done else COARSEST
                # No stage for a last small step.
                return visitor, wanted, wanted.limit if 1.5 * side > wanted.limit else side
            self._change.wait(STILL if unfinished else None)
        return None

    def _work(self) -> None:
        while True:
            with self._change:
                job = self._next()
            if job is None:
                return
            visitor, wanted, side = job
            try:
                self._render(visitor, wanted.view, side)
            except Exception as error:
                self._failed(error)
                wanted.done = wanted.limit
            else:
                wanted.done = side
