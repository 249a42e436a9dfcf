"""A boundary: code that reads bytes of strangers, and what it may answer to them.

Whatever the bytes, it gives a value or one of its refusals. It never raises anything else, never
takes more time or memory than its bound, and never loses a row in silence.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from conf.errors import SeedbedError

# Of one input, in seconds of the processor. Real inputs of a few KB take milliseconds.
CPU_S = 10
# Bytes that one input may take beyond what the process had before.
MEMORY = 1 << 30
CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Boundary:
    """One reader of foreign bytes.

    inputs: draws the bytes. read: gives them to the reader, and asserts what must hold of its
    answer. refusals: what the reader may raise. whole: inputs that must be read without a refusal,
    so that a reader which refuses everything is noticed.
    """

    name: str
    inputs: st.SearchStrategy[bytes]
    read: Callable[[bytes], object]
    whole: tuple[bytes, ...]
    refusals: tuple[type[BaseException], ...] = (SeedbedError,)

    def check(self, data: bytes) -> bool:
        """Whether `data` was read (True) or refused (False); any fault is raised as it is."""
        with bounded():
            try:
                self.read(data)
            except self.refusals:
                return False
        return True

    @property
    def corpus(self) -> list[Path]:
        """The kept inputs, which include every fault that was found here."""
        return sorted((CORPUS / self.name).glob("*"))


class TooSlow(BaseException):
    """An input took more than CPU_S. No reader can swallow it by `except Exception`."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Bounds the time and the memory of a block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = signal.signal(signal.SIGPROF, _too_slow)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _too_slow(number: int, frame: object) -> None:
    raise TooSlow(f"more than {CPU_S} s of the processor")


@contextlib.contextmanager
def folder(**files: bytes) -> Iterator[Path]:
    """A folder with such files ("_" in a name stands for a dot) that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="seedbed-fuzz-") as name:
        for file, data in files.items():
            (Path(name) / file.replace("_", ".")).write_bytes(data)
        yield Path(name)
