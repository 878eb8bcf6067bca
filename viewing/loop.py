"""One thread renders for all visitors: the latest view of each, coarse first, finer when still."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

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

    Whoever calls `step` renders: a thread of its own (`start`), or a training between its steps.

    Args:
        render: (visitor, view, longer side in pixels) renders and shows.
        failed: told of what `render` raises; that visitor's view is dropped, the loop goes on.
    """

    def __init__(
        self, render: Callable[[int, ViewT, int], None], failed: Callable[[Exception], None]
    ) -> None:
        self._render = render
        self._failed = failed
        self._wanted: dict[int, _Wanted[ViewT]] = {}
        self._tasks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._change = threading.Condition()
        self._running = True
        self._count = 0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Render in a thread of its own."""
        self._thread = threading.Thread(target=self._work, name="render", daemon=True)
        self._thread.start()

    def want(self, visitor: int, view: ViewT, limit: int) -> None:
        """The view that a visitor has now, to be refined up to `limit` pixels a side."""
        with self._change:
            self._count += 1
            self._wanted[visitor] = _Wanted(view, limit, time.monotonic(), 0, self._count)
            self._change.notify()

    def do(self, task: Callable[[], Any]) -> Future[Any]:
        """Have something done where pictures are rendered, before the next one."""
        future: Future[Any] = Future()
        with self._change:
            if not self._running:
                future.cancel()
                return future
            self._tasks.append((task, future))
            self._change.notify()
        return future

    def again(self) -> None:
        """All views show something new: those that are finished are rendered once more."""
        with self._change:
            for wanted in self._wanted.values():
                if wanted.done >= wanted.limit:
                    wanted.done = wanted.limit // 2
            self._change.notify()

    def forget(self, visitor: int) -> None:
        """A visitor has left."""
        with self._change:
            self._wanted.pop(visitor, None)

    def stop(self) -> None:
        """End the thread, after the picture that it has begun."""
        with self._change:
            self._running = False
            for _, future in self._tasks:
                future.cancel()
            self._tasks.clear()
            self._change.notify()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def step(self, wait: bool = False) -> bool:
        """Do one task, or render one picture; whether there was something to do.

        Args:
            wait: until there is, or the loop is stopped.
        """
        with self._change:
            job = self._next(wait)
        if job is not None:
            job()
        return job is not None

    def _next(self, wait: bool) -> Callable[[], None] | None:
        """What to do now: tasks, then moving visitors, then the coarsest picture."""
        while self._running:
            if self._tasks:
                return partial(_finish, *self._tasks.popleft())
            unfinished = [(v, w) for v, w in self._wanted.items() if w.done < w.limit]
            now = time.monotonic()
            ready = [(v, w) for v, w in unfinished if not w.done or now - w.since >= STILL]
            if ready:
                visitor, wanted = min(ready, key=lambda item: (item[1].done, item[1].number))
                side = 2 * wanted.done if wanted.done else COARSEST
                # No stage for a last small step.
                side = wanted.limit if 1.5 * side > wanted.limit else side
                return partial(self._picture, visitor, wanted, side)
            if not wait:
                return None
            self._change.wait(STILL if unfinished else None)
        return None

    def _picture(self, visitor: int, wanted: _Wanted[ViewT], side: int) -> None:
        try:
            self._render(visitor, wanted.view, side)
        except Exception as error:
            self._failed(error)
            wanted.done = wanted.limit
        else:
            wanted.done = side

    def _work(self) -> None:
        while self.step(wait=True):
            pass


def _finish(task: Callable[[], Any], future: Future[Any]) -> None:
    try:
        future.set_result(task())
    except Exception as error:  # for whoever waits for it
        future.set_exception(error)
