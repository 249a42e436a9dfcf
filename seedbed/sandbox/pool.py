"""The sandbox as its callers see it: jobs go in, and verdicts come out in the same order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from conf.schema.rl.sections import SandboxConfig
from seedbed.sandbox.inside.lockdown import CHANNELS
from seedbed.sandbox.interpreter import Interpreter
from seedbed.sandbox.languages.compilations import Compilations
from seedbed.sandbox.reference import References
from seedbed.sandbox.verdict import Isolation, Job, Limits, Verdict
from seedbed.sandbox.version import version
from seedbed.sandbox.worker import Shared, Worker


class _Queue:
    """Hands out jobs so that a worker keeps its tests, and two workers rarely share tests.

    ahead: jobs that are drawn from the iterable before they are handed out, at most.
    """

    def __init__(self, jobs: Iterable[Job], ahead: int):
        self._feed, self._ahead, self._drawn = enumerate(jobs), ahead, 0
        # Tests -> their jobs with their positions, in the order of the first job.
        self._groups: dict[object, deque[tuple[int, Job]]] = {}
        # The tests that each worker was given last.
        self._at: dict[Worker, object] = {}

    def take(self, worker: Worker) -> tuple[int, Job] | None:
        """The next job for this worker with its position among all; None at the end."""
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
    """A pool of fork servers. Each judges one program at a time.

    The servers start by exec, never by fork. So a sandbox is safe in a process that has threads,
    CUDA or an engine. The threads of the pool only wait.

    workers: programs in flight; by default the number of CPUs that this process may use.
    limits: for jobs that bring none of their own.
    isolation: "full", or "rlimits-only" for hosts without namespaces. inside/fork_server.py says
        what the weaker one keeps out. It is for programs that may be wrong but are not hostile, and
        each verdict says so.
    interpreter: which Python runs programs and tests, with which packages.

    Raises SeedbedError where the host cannot give that isolation. Nothing falls back in silence.
    """

    def __init__(
        self,
        workers: int | None = None,
        limits: Limits | None = None,
        isolation: Isolation = "full",
        interpreter: Interpreter | None = None,
    ):
        limits, shared = limits or Limits(), Shared(References(), Compilations())
        self.interpreter = interpreter = interpreter or Interpreter()
        limits.check()
        self._workers: list[Worker] = []
        self._turn = threading.Lock()
        try:
            for _ in range(workers or len(os.sched_getaffinity(0))):
                self._workers.append(Worker(limits, isolation, interpreter, shared))
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, cfg: SandboxConfig) -> Sandbox:
        """The sandbox of a run's settings. Raises SeedbedError as the class does."""
        return cls(cfg.workers or None, interpreter=Interpreter.of(cfg))

    @property
    def version(self) -> str:
        """What its verdicts depend on besides program, tests and limits (version.py)."""
        return version(self.interpreter)

    def run(
        self, jobs: Iterable[Job], on_verdict: Callable[[Verdict], None] | None = None
    ) -> list[Verdict]:
        """Judge all jobs. The verdicts are in the order of the jobs.

        on_verdict: called with each verdict when it is reached, in any order, one call at a time.

        Calls from several threads take turns. A few jobs are drawn ahead of the free workers, so
        the iterable may be endless or slow. Jobs with the same tests cost less when they are close
        to each other, as in a GRPO group.
        """
        with self._turn:
            queue, lock = _Queue(jobs, len(self._workers) * CHANNELS), threading.Lock()
            verdicts: dict[int, Verdict] = {}
            stopped = threading.Event()

            def drain(worker: Worker) -> None:
                while not stopped.is_set():
                    with lock:
                        found = queue.take(worker)
                    if found is None:
                        return
                    position, job = found
                    verdict = worker.run(job)
                    with lock:
                        verdicts[position] = verdict
                        if on_verdict is not None:
                            on_verdict(verdict)

            def work(worker: Worker) -> None:
                try:
                    drain(worker)
                except BaseException:
                    # A fault in the iterable or in on_verdict ends the run for all workers.
                    stopped.set()
                    raise

            with ThreadPoolExecutor(len(self._workers), "sandbox") as threads:
                try:
                    for done in [threads.submit(work, worker) for worker in self._workers]:
                        done.result()
                finally:
                    stopped.set()
            return [verdicts[position] for position in range(len(verdicts))]

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
