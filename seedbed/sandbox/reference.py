"""Limits scaled by what a problem's own solution needs on this machine, measured in the same
sandbox.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from seedbed.sandbox.verdict import Job, Limits, Verdict

# problems whose measurement is remembered
_KEPT = 1 << 16
UNFIT = "the problem's reference does not pass its tests"


class References:
    """Verdicts on references, each judged once. Safe to share between workers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[bytes, Future[Verdict]] = {}

    def verdict(self, job: Job, limits: Limits, judge: Callable[[Job, Limits], Verdict]) -> Verdict:
        """The verdict on the job's reference, by `judge` if none has been reached before.

        Another worker's is waited for.
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
            verdict = judge(replace(job, program=job.reference), ample)
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
    """Limits of programs whose reference passed: CPU the greater of the limit and factor x what the
    reference used, the wall clock at least three times that.
    """
    cpu = max(limits.cpu_seconds, limits.reference_factor * reference.cpu_seconds)
    return replace(limits, cpu_seconds=cpu, wall_seconds=max(limits.wall_seconds, 3 * cpu))
