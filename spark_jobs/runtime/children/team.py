"""The children of one call: one, and helpers while there is input and a slot for them.

An engine may make one partition of what could fill many cores: it joins small files. So where a
function makes each row from one row, the batches of a partition go to whichever child wants one.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterator
from typing import cast

import pyarrow as pa

from spark_jobs.runtime.children.child import Child
from spark_jobs.runtime.children.slots import Slots
from spark_jobs.runtime.children.wire import Kind


class Team:
    """One call.

    pieces: its input. begin: gives a child on which the function was called. release: takes a child
    back, and whether it is done. slots: where helpers may come from; None for no helpers.
    """

    def __init__(
        self,
        pieces: Iterator[pa.RecordBatch],
        begin: Callable[[], Child],
        release: Callable[[Child, bool], None],
        slots: Slots | None,
    ):
        self._pieces = pieces
        self._begin = begin
        self._release = release
        self._slots = slots
        self._members: list[Child] = []
        # Members whose input was ended before the others'.
        self._leaving: set[Child] = set()
        # A batch that was read before a child asked for it.
        self._ahead: pa.RecordBatch | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """What the function makes of the input; of several children in any order."""
        with selectors.DefaultSelector() as ready:
            try:
                self._join(ready)
                while self._members:
                    for key, _ in ready.select():
                        child = cast("Child", key.fileobj)
                        said = child.answer()
                        if not isinstance(said, Kind):
                            yield said
                        elif said == Kind.WANT:
                            self._feed(ready, child)
                        else:
                            self._leave(ready, child, finished=True)
            finally:
                while self._members:
                    self._leave(ready, self._members[-1], finished=False)

    def _feed(self, ready: selectors.BaseSelector, child: Child) -> None:
        """Answer a child that wants a batch; where another one is left, a helper may come for it.

        A helper leaves where a call of another partition waits for its slot.
        """
        stay = len(self._members) - len(self._leaving)
        if self._slots and stay > 1 and self._slots.wanted():
            self._leaving.add(child)
            child.give(None)
            return
        batch, self._ahead = self._next(), None
        child.give(batch)
        if batch is None or not self._slots or not self._slots.add_helper():
            return
        try:
            self._ahead = self._next()
            if self._ahead is not None:
                self._join(ready)
                return
        except BaseException:
            self._slots.drop_helper()
            raise
        self._slots.drop_helper()

    def _next(self) -> pa.RecordBatch | None:
        return next(self._pieces, None) if self._ahead is None else self._ahead

    def _join(self, ready: selectors.BaseSelector) -> None:
        child = self._begin()
        self._members.append(child)
        ready.register(child, selectors.EVENT_READ)

    def _leave(self, ready: selectors.BaseSelector, child: Child, finished: bool) -> None:
        ready.unregister(child)
        self._members.remove(child)
        self._leaving.discard(child)
        if self._members and self._slots:
            self._slots.drop_helper()
        self._release(child, finished)
