"""The sandbox as a caller sees it: jobs in, verdicts out in the same order, several at a time."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from seedbed.sandbox.inside.lockdown import CHANNELS
from seedbed.sandbox.reference import References
from seedbed.sandbox.verdict import Isolation, Job, Limits, Verdict
from seedbed.sandbox.worker import Worker


class _Queue:
    """Jobs drawn `ahead` at most, handed out so that a worker stays with the tests it has, and no
    two share tests needlessly.
    """

    def __init__(self, jobs: Iterable[Job], ahead: int):
        self._feed, self._ahead, self._drawn = enumerate(jobs), ahead, 0
        # by tests, in the order of their first job
        self._groups: dict[object, deque[tuple[int, Job]]] = {}
        # the tests that each worker was given last
        self._at: dict[Worker, object] = {}

    def take(self, worker: Worker) -> tuple[int, Job] | None:
        """(place, job) of the next job for this worker; None at the end."""
        while self._drawn < self._ahead and (drawn := next(self._feed, None)) is not None:
            self._groups.setdefault(drawn[1].tests, deque()).append(drawn)
            self._drawn += 1
        if not self._groups:
            return None
        tests = self._at.get(worker)
        if tests not in self._groups:
            taken = [at for other, at in self._at.items() if other is not worker]
            tests = next((at for at in self._groups if at not in taken), next(iter(self._groups)))
        group = self._groups[tests]
        found = group.popleft()
        if not group:
            del self._groups[tests]
        self._at[worker] = tests
        self._drawn -= 1
        return found


class Sandbox:
    """A pool of fork servers, each judging one program at a time.

    Servers start by exec, never by fork: safe in a process with threads, CUDA or an engine in it.
    Threads here only wait.

    workers: programs in flight; default the CPUs this process may use.
    limits: of jobs that bring none of their own.
    isolation: "full", or "rlimits-only" for hosts without namespaces (inside/fork_server.py says
    what is left): weaker, for programs
        that are wrong rather than hostile, and each verdict says so.
    Raises SeedbedError where the host cannot give that isolation; it never falls back to the weaker
    one.
    """

    def __init__(
        self,
        workers: int | None = None,
        limits: Limits | None = None,
        isolation: Isolation = "full",
    ):
        limits, references = limits or Limits(), References()
        limits.check()
        self._workers: list[Worker] = []
        self._turn = threading.Lock()
        try:
            for _ in range(workers or len(os.sched_getaffinity(0))):
                self._workers.append(Worker(limits, isolation, references))
        except BaseException:
            self.close()
            raise

    def run(
        self, jobs: Iterable[Job], on_verdict: Callable[[Verdict], None] | None = None
    ) -> list[Verdict]:
        """Judge all jobs; verdicts in the jobs' order. on_verdict sees each as it falls, in any
        order, one at a time.

        Calls from several threads take turns. Jobs are drawn as workers come free, a few ahead, so
        an endless or costly iterable is fine. Jobs with the same tests cost less when they are near
        each other, as a GRPO group's are.
        """
        with self._turn:
            queue, guard = _Queue(jobs, len(self._workers) * CHANNELS), threading.Lock()
            verdicts: dict[int, Verdict] = {}
            stopped = threading.Event()

            def drain(worker: Worker) -> None:
                while not stopped.is_set():
                    with guard:
                        found = queue.take(worker)
                    if found is None:
                        return
                    place, job = found
                    verdict = worker.run(job)
                    with guard:
                        verdicts[place] = verdict
                        if on_verdict is not None:
                            on_verdict(verdict)

            def work(worker: Worker) -> None:
                try:
                    drain(worker)
                except BaseException:
                    # a fault of the jobs' iterable or of on_verdict ends the run for all
                    stopped.set()
                    raise

            with ThreadPoolExecutor(len(self._workers), "sandbox") as threads:
                try:
                    for done in [threads.submit(work, worker) for worker in self._workers]:
                        done.result()
                finally:
                    stopped.set()
            return [verdicts[place] for place in range(len(verdicts))]

    def close(self) -> None:
        """End all fork servers and everything below them."""
        for worker in self._workers:
            worker.close()
        self._workers = []

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
