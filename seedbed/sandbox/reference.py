"""Time limits scaled by what a problem's own solution needs on this machine.

The solution, called the reference, is judged in the same sandbox as the programs.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from seedbed.sandbox.verdict import Job, Limits, Verdict

# Verdicts on references that are remembered.
_KEPT = 1 << 16
# How the reason of an infrastructure verdict begins where the problem itself is at fault.
UNFIT = "the problem's reference does not pass its tests"


class References:
    """Verdicts on references, each judged once. Several workers may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[bytes, Future[Verdict]] = {}

    def verdict(self, job: Job, limits: Limits, judge: Callable[[Job, Limits], Verdict]) -> Verdict:
        """The verdict on the job's reference, by `judge` where there is none yet.

        If another worker is judging the same reference, waits for that verdict.
        """
        key = hashlib.sha256(
            repr((job.reference, job.tests, limits)).encode("utf-8", "backslashreplace")
        ).digest()
        with self._lock:
            known = self._found.get(key)
            if known is None:
                mine: Future[Verdict] = Future()
                self._found[key] = mine
                if len(self._found) > _KEPT:
                    del self._found[next(iter(self._found))]
        if known is not None:
            return known.result()
        factor = limits.reference_factor
        ample = replace(
            limits,
            cpu_seconds=factor * limits.cpu_seconds,
            wall_seconds=max(1.0, factor) * limits.wall_seconds,
        )
        try:
            verdict = judge(replace(job, program=job.reference, language=""), ample)
        except BaseException as error:
            mine.set_exception(error)
            self._forget(key)
            raise
        mine.set_result(verdict)
        if verdict.verdict == "infrastructure":
            self._forget(key)
        return verdict

    def _forget(self, key: bytes) -> None:
        with self._lock:
            self._found.pop(key, None)


def scaled(limits: Limits, reference: Verdict) -> Limits:
    """The limits of programs whose reference passed.

    CPU time is the greater of the limit and `reference_factor` times what the reference used. The
    wall limit is at least three times that.
    """
    cpu = max(limits.cpu_seconds, limits.reference_factor * reference.cpu_seconds)
    return replace(limits, cpu_seconds=cpu, wall_seconds=max(limits.wall_seconds, 3 * cpu))
