"""How many children of each stage may work at once.

A stage has as many slots as there are cores. A call holds one, and one more for each helper. Where
all calls of a stage are waiting for `patience` seconds, for a reader or for input, one more begins.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Slots:
    """The slots of one stage.

    size: how many there are. changed: the lock of all stages. waiting: calls that may not begin
    yet. calls: those that have begun and not ended. helpers: their children beyond one each.
    unread: calls among them that wait until their output is read or their input comes. moved: when
    one last began or ended to wait, in seconds of the monotonic clock.
    """

    size: int
    changed: threading.Condition
    waiting: int = 0
    calls: int = 0
    helpers: int = 0
    unread: int = 0
    moved: float = field(default_factory=time.monotonic)

    def add_helper(self) -> bool:
        """Take a slot for a helper; False where none is free, or where a call waits for one."""
        with self.changed:
            grows = not self.waiting and self.calls + self.helpers < self.size
            self.helpers += grows
            return grows

    def drop_helper(self) -> None:
        """Give back the slot of a helper."""
        with self.changed:
            self.helpers -= 1
            self.changed.notify_all()

    def wanted(self) -> bool:
        """Whether a call waits for a slot."""
        with self.changed:
            return self.waiting > 0

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Within it a call waits for its reader or for its input."""
        self._turn(1)
        try:
            yield
        finally:
            self._turn(-1)

    def _turn(self, change: int) -> None:
        with self.changed:
            self.unread += change
            self.moved = time.monotonic()

    def may_begin(self, patience: float) -> bool:
        """Whether one more call may begin; the caller holds `changed`."""
        stuck = self.unread == self.calls
        return self.calls + self.helpers < self.size or (
            stuck and time.monotonic() - self.moved > patience
        )


class Stages:
    """The slots of all stages that have calls; size: of each."""

    def __init__(self, size: int, patience: float):
        self._size = size
        self._patience = patience
        self._changed = threading.Condition()
        self._slots: dict[str, Slots] = {}

    @contextmanager
    def call(self, stage: str) -> Iterator[Slots]:
        """Waits for a slot of the stage, and holds it."""
        with self._changed:
            slots = self._slots.setdefault(stage, Slots(self._size, self._changed))
            slots.waiting += 1
            while not slots.may_begin(self._patience):
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
                    del self._slots[stage]
                self._changed.notify_all()
