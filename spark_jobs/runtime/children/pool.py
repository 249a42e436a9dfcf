"""A pool of child processes, owned by the process that runs an engine's Python functions.

An engine may run all partitions of a stage at once, each in a thread. Here only as many of them go
on as there are cores, and the others wait. So memory is bounded by cores and not by partitions.

Waiting must never stop the whole. What goes on may fill up its output, while the reader of it waits
for a call that may not begin yet. So each stage has slots of its own, and where all of them are
waiting for `patience` seconds, for a reader or for input, one more call begins.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa

from spark_jobs.runtime.children.child import Child
from spark_jobs.runtime.children.regroup import regrouped


@dataclass
class _Slots:
    """The calls of one stage.

    waiting: those that may not begin yet. calls: those that have begun and not ended. unread: those
        among them that wait until their output is read or their input comes. moved: when one last
        began or ended to wait, in seconds of the monotonic clock.
    """

    waiting: int = 0
    calls: int = 0
    unread: int = 0
    moved: float = field(default_factory=time.monotonic)


class ChildPool:
    """Children that are started when they are needed and kept for the next call.

    size: calls of one stage that go on at once; also how many idle children are kept.
    """

    def __init__(self, size: int, patience: float = 0.5):
        self._size = size
        self._patience = patience
        self._changed = threading.Condition()
        self._stages: dict[str, _Slots] = {}
        self._idle: list[Child] = []
        # A child dies with the thread that started it, so one thread starts them all and stays.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="children")

    def run(
        self, stage: str, function: bytes, batches: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """What the pickled `function` makes of `batches` in a child.

        stage: names the use of the function in a plan, so that two uses never wait for each other.

        Raises as Child.call does. A generator that is closed early ends its child.
        """
        with self._slot(stage) as slots:
            child = self._take(function)
            finished = False
            try:
                for batch in child.call(function, regrouped(self._fed(slots, batches))):
                    with self._unread(slots):
                        yield batch
                finished = True
            finally:
                self._give_back(child, finished)

    @contextmanager
    def _slot(self, stage: str) -> Iterator[_Slots]:
        with self._changed:
            slots = self._stages.setdefault(stage, _Slots())
            slots.waiting += 1
            while not self._may_begin(slots):
                self._changed.wait(self._patience)
            slots.waiting -= 1
            slots.calls += 1
            slots.moved = time.monotonic()
        try:
            yield slots
        finally:
            with self._changed:
                slots.calls -= 1
                if not slots.calls + slots.waiting:
                    del self._stages[stage]
                self._changed.notify_all()

    def _may_begin(self, slots: _Slots) -> bool:
        stuck = slots.unread == slots.calls
        return slots.calls < self._size or (
            stuck and time.monotonic() - slots.moved > self._patience
        )

    @contextmanager
    def _unread(self, slots: _Slots) -> Iterator[None]:
        self._turn(slots, 1)
        try:
            yield
        finally:
            self._turn(slots, -1)

    def _fed(self, slots: _Slots, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """`batches`; a wait for the next one counts as a wait.

        What comes before may stand still until a call that waits for its turn takes its input.
        """
        while True:
            with self._unread(slots):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _turn(self, slots: _Slots, change: int) -> None:
        with self._changed:
            slots.unread += change
            slots.moved = time.monotonic()

    def _take(self, function: bytes) -> Child:
        """An idle child that lives, if possible one that has the function, or a new one."""
        with self._changed:
            self._idle = [child for child in self._idle if child.alive()]
            for child in self._idle:
                if child.loaded == function:
                    break
            else:
                child = self._idle[0] if self._idle else None
            if child is not None:
                self._idle.remove(child)
                return child
        return self._starter.submit(Child).result()

    def _give_back(self, child: Child, finished: bool) -> None:
        with self._changed:
            kept = finished and len(self._idle) < self._size
            if kept:
                self._idle.append(child)
        if not kept:
            threading.Thread(target=child.end, daemon=True).start()


# The pool of this process. Nothing is started before the first call.
POOL = ChildPool(len(os.sched_getaffinity(0)))
