"""Compiled programs, each made once per sandbox. Workers share them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from seedbed.sandbox.judge import Finding

# Bytes of compiled programs that are kept. The oldest go first.
_KEPT = 256 << 20


@dataclass(frozen=True)
class Compiled:
    """What a compiler made of a source: the program's files, or a finding on why there are none.

    cpu: seconds that the compiler took.
    """

    files: tuple[tuple[str, bytes], ...]
    cpu: float
    fault: Finding | None = None

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(len(data) for _, data in self.files)


class Compilations:
    """Keeps what compilers made, by a SHA-256 of toolchain, options and source."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[bytes, Future[Compiled]] = {}
        self._bytes = 0

    def get(self, key: tuple[str, ...], make: Callable[[], Compiled]) -> Compiled:
        """What was made for this key, by `make` where nothing was yet.

        If another worker is making it, waits for that. A fault of ours is not kept.
        """
        digest = hashlib.sha256(
            "".join(f"{len(part)}:{part}" for part in key).encode("utf-8", "surrogatepass")
        ).digest()
        with self._lock:
            known = self._found.get(digest)
            if known is None:
                mine: Future[Compiled] = Future()
                self._found[digest] = mine
        if known is not None:
            return known.result()
        try:
            made = make()
        except BaseException as error:
            mine.set_exception(error)
            self._forget(digest)
            raise
        mine.set_result(made)
        if made.fault is not None and made.fault.outcome == "infrastructure":
            self._forget(digest)
        else:
            self._trim(made.size)
        return made

    def _trim(self, size: int) -> None:
        with self._lock:
            self._bytes += size
            for digest in list(self._found):
                future = self._found[digest]
                if self._bytes <= _KEPT:
                    return
                if future.done():
                    self._bytes -= future.result().size
                    del self._found[digest]

    def _forget(self, digest: bytes) -> None:
        with self._lock:
            self._found.pop(digest, None)
