"""A pool of child processes, owned by the process that runs an engine's Python functions.

An engine may run all partitions of a stage at once, each in a thread. Here only as many children
work as there are cores, and the other partitions wait. So memory is bounded by cores and not by
partitions. Where fewer partitions work than there are cores, one partition may have several
children: see team.py.

Waiting must never stop the whole. What goes on may fill up its output, while the reader of it waits
for a call that may not begin yet. So each stage has slots of its own (slots.py).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from spark_jobs.runtime.children.child import Child
from spark_jobs.runtime.children.regroup import MOST_BYTES, SHARED_BYTES, regrouped
from spark_jobs.runtime.children.slots import Slots, Stages
from spark_jobs.runtime.children.team import Team


class ChildPool:
    """Children that are started when they are needed and kept for the next call.

    size: children of one stage that work at once; also how many idle ones are kept.
    """

    def __init__(self, size: int, patience: float = 0.5):
        self._size = size
        self._stages = Stages(size, patience)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        # A child dies with the thread that started it, so one thread starts them all and stays.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="children")

    def run(
        self,
        stage: str,
        function: bytes,
        batches: Iterator[pa.RecordBatch],
        by_row: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """What the pickled `function` makes of `batches` in a child.

        stage: names the use of the function in a plan, so that two uses never wait for each other.
        by_row: the function makes each row from one row. So idle cores may take batches of the same
            partition, and the batches come in any order.

        Raises as Child.answer does. A generator that is closed early ends its children.
        """
        with self._stages.call(stage) as slots:
            pieces = regrouped(_fed(slots, batches), SHARED_BYTES if by_row else MOST_BYTES)
            helpers = slots if by_row else None
            team = Team(pieces, lambda: self._begin(function), self._give_back, helpers)
            for batch in team.batches():
                with slots.idle():
                    yield batch

    def _begin(self, function: bytes) -> Child:
        """An idle child that lives, if possible one that has the function, or a new one."""
        with self._lock:
            self._idle = [child for child in self._idle if child.alive()]
            has_it = [child for child in self._idle if child.loaded == function]
            child = next(iter(has_it or self._idle), None)
            if child is not None:
                self._idle.remove(child)
        child = child or self._starter.submit(Child).result()
        child.begin(function)
        return child

    def _give_back(self, child: Child, finished: bool) -> None:
        with self._lock:
            kept = finished and len(self._idle) < self._size
            if kept:
                self._idle.append(child)
        if not kept:
            threading.Thread(target=child.end, daemon=True).start()


def _fed(slots: Slots, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """`batches`; a wait for the next one counts as a wait.

    What comes before may stand still until a call that waits for its turn takes its input.
    """
    while True:
        with slots.idle():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


# The pool of this process. Nothing is started before the first call.
POOL = ChildPool(len(os.sched_getaffinity(0)))
