"""A lease: a file that says who holds it and until when, on a store that can compare and write."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from conf.errors import SeedbedError
from seedbed.stores.files import LeaseStore

# Seconds from a renewal to the end. A run whose machine is gone keeps others out for so long, and
# clocks of machines may differ by less than that.
TERM_S = 60.0
# Seconds between renewals: two may fail.
RENEW_S = 20.0

Holder = dict[str, Any]


@dataclass(frozen=True)
class Loss:
    """Why a lease was not held to the end.

    holder: who has it now, {} where they have ended again. None: nobody is known to have taken it,
    but the store refused to renew it until it had ended. refusal: what the store said then.
    """

    holder: Holder | None
    refusal: str = ""


class Lease:
    """One lease of one holder, renewed by a thread from `take` to `release`.

    who: names the holder, with an "id" that no other has. is_dead: whether a holder has ended for
    certain, so that its lease need not be waited for. now: seconds since 1970, which tests give.
    """

    def __init__(
        self,
        store: LeaseStore,
        path: str,
        who: Holder,
        is_dead: Callable[[Holder], bool] = lambda who: False,
        now: Callable[[], float] = time.time,
    ):
        self.now = now
        self._store = store
        self._path = path
        self._who = who
        self._is_dead = is_dead
        self._version: str | None = None
        self._expires = 0.0
        self._taken_by: Holder = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def take(self) -> Holder | None:
        """Take the lease and begin to renew it. Returns the holder who has it, or None.

        Raises SeedbedError where the store refuses.
        """
        found = self._store.read_version(self._path)
        if found is None:
            self._write(self._store.create)
        else:
            other = _read(found[0])
            if other.get("expires", 0.0) > self.now() and not self._is_dead(other):
                return other
            # Of two that want an ended lease the store takes the first.
            self._write(self._replacing(found[1]))
        if self._version is None:
            winner = self._store.read_version(self._path)
            holder = _read(winner[0]) if winner else {}
            if winner is None or holder.get("id") != self._who["id"]:
                return holder
            # We are the winner: the store wrote our record, and its answer was lost.
            self._version, self._expires = winner[1], float(holder["expires"])
        self._thread.start()
        return None

    def renew(self) -> bool:
        """Move the end of the lease; False where another has taken it.

        Raises SeedbedError where the store refuses. A lease that ended meanwhile goes on where
        nobody took it.
        """
        if self._version is not None:
            self._write(self._replacing(self._version))
        if self._version is None:
            # An answer that was lost leaves our own record under a version that we do not know.
            found = self._store.read_version(self._path)
            self._taken_by = {} if found is None else _read(found[0])
            if found is None or self._taken_by.get("id") != self._who["id"]:
                return False
            self._taken_by = {}
            self._write(self._replacing(found[1]))
        return self._version is not None

    def release(self) -> Loss | None:
        """End the lease; how it was lost, where it was."""
        self._stop.set()
        self._thread.join()
        try:
            if not self.renew():
                return Loss(self._taken_by)
            self._store.delete(self._path)
        except SeedbedError as error:
            # A store that is gone now lets the lease end by itself.
            if self.now() >= self._expires:
                return Loss(None, error.problem)
        return None

    def _keep(self) -> None:
        while not self._stop.wait(RENEW_S):
            # A store that refuses now is asked again, also after the end: it may be back.
            with suppress(SeedbedError):
                if not self.renew():
                    return

    def _replacing(self, version: str) -> Callable[[str, bytes], str | None]:
        return lambda path, data: self._store.replace(path, data, version)

    def _write(self, put: Callable[[str, bytes], str | None]) -> None:
        """Write our record by `put`, and note its version and its end; version None: refused."""
        expires = self.now() + TERM_S
        data = json.dumps({**self._who, "expires": expires}).encode()
        self._version = put(self._path, data)
        if self._version is not None:
            self._expires = expires


def _read(data: bytes) -> Holder:
    try:
        return dict(json.loads(data))
    except (ValueError, TypeError, RecursionError):
        # Something else wrote it.
        return {}
