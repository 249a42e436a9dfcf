from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import pytest

from conf.errors import SeedbedError
from seedbed.sandbox import CallTests, Job, Limits, Sandbox, Verdict, pool
from seedbed.sandbox.inside.lockdown import CHANNELS
from seedbed.sandbox.pool import _Queue
from seedbed.sandbox.server import ForkServer
from seedbed.sandbox.worker import Worker

SUM = "def f(a, b): return a + b"


def jobs(count: int) -> list[Job]:
    """Right and wrong by turns, every fifth slow, so that they end in another order."""
    slow = "__import__('time').sleep(0.3)\n"
    return [
        Job(n, SUM, CallTests(f"{slow if n % 5 == 0 else ''}assert f({n}, 1) == {n + 1 + n % 2}"))
        for n in range(count)
    ]


def test_verdicts_keep_the_order_of_the_jobs(sandbox: Sandbox) -> None:
    seen: list[str | int] = []
    verdicts = sandbox.run(iter(jobs(15)), on_verdict=lambda verdict: seen.append(verdict.task_id))
    assert [verdict.task_id for verdict in verdicts] == list(range(15))
    assert [verdict.verdict for verdict in verdicts] == ["pass", "fail"] * 7 + ["pass"]
    assert sorted(seen, key=int) == list(range(15))
    assert seen != list(range(15))


def test_no_jobs_give_no_verdicts(sandbox: Sandbox) -> None:
    assert sandbox.run([]) == []


def test_several_threads_may_share_a_sandbox(sandbox: Sandbox) -> None:
    found: dict[int, list[str]] = {}

    def ask(place: int) -> None:
        found[place] = [verdict.verdict for verdict in sandbox.run(jobs(4))]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {place: ["pass", "fail", "pass", "fail"] for place in range(3)}


def test_a_fault_in_the_jobs_iterable_reaches_the_caller_and_the_pool_lives_on(
    sandbox: Sandbox,
) -> None:
    def broken() -> object:
        yield jobs(1)[0]
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        sandbox.run(broken())  # type: ignore[arg-type]
    assert [verdict.verdict for verdict in sandbox.run(jobs(2))] == ["pass", "fail"]


def test_a_fault_in_on_verdict_ends_even_an_endless_run(sandbox: Sandbox) -> None:
    def stop(verdict: Verdict) -> None:
        raise KeyError(verdict.verdict)

    with pytest.raises(KeyError, match="pass"):
        sandbox.run(itertools.repeat(jobs(1)[0]), on_verdict=stop)


def test_servers_that_have_started_end_where_a_later_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pids: list[int] = []

    class SecondFails(Worker):
        def __init__(self, *arguments: Any):
            if pids:
                raise SeedbedError("no second server", "ask for one")
            super().__init__(*arguments)
            assert self.server is not None
            pids.append(self.server.pid)

    monkeypatch.setattr(pool, "Worker", SecondFails)
    with pytest.raises(SeedbedError, match="no second server"):
        Sandbox(3)
    assert len(pids) == 1
    assert not Path(f"/proc/{pids[0]}").exists()


@pytest.mark.parametrize(
    "limits", [{"cpu_seconds": 0}, {"memory_bytes": -1}, {"wall_seconds": float("nan")}]
)
def test_a_limit_that_is_not_positive_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(SeedbedError, match=f"{next(iter(limits))} = .* must be above 0"):
        Sandbox(1, Limits(**limits))  # type: ignore[arg-type]


def test_programs_with_the_same_tests_share_a_tester_and_others_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    spawn = ForkServer.spawn

    def counting(server: ForkServer, descriptors: list[int], **request: Any) -> dict[str, int]:
        asked.append(request["op"])
        return spawn(server, descriptors, **request)

    monkeypatch.setattr(ForkServer, "spawn", counting)
    with Sandbox(1) as sandbox:
        alike = [
            Job(n, f"{SUM} + {n % 2}", CallTests("assert f(1, 2) == 3"))
            for n in range(CHANNELS + 2)
        ]
        verdicts = [verdict.verdict for verdict in sandbox.run([*alike, *jobs(3)])]
    assert verdicts == ["pass", "fail"] * (CHANNELS // 2 + 1) + ["pass", "fail", "pass"]
    assert (asked.count("calls"), asked.count("tester")) == (CHANNELS + 5, 2 + 3)


def test_what_others_left_in_the_tester_is_never_a_programs_fault() -> None:
    """Tests that keep every answer fill the tester's memory: the program that meets the full one is
    judged in a new one.
    """
    hoard = CallTests(
        "import sys\nkept = sys.__dict__.setdefault('kept', [])\n"
        "kept.append(f())\nassert len(kept[-1]) == 700000"
    )
    limits = Limits(cpu_seconds=5, wall_seconds=15, memory_bytes=128 << 20)
    with Sandbox(1, limits) as sandbox:
        found = sandbox.run(
            Job(n, "def f(): return list(range(700000))", hoard) for n in range(CHANNELS)
        )
        assert [verdict.verdict for verdict in found] == ["pass"] * CHANNELS
        spin = CallTests(
            "import sys\nsys.__dict__['n'] = sys.__dict__.get('n', 0) + 1\nf()\n"
            "while sys.n > 2: pass"
        )
        found = sandbox.run(
            Job(n, "def f(): return 1", spin, Limits(cpu_seconds=0.3)) for n in range(4)
        )
        assert [verdict.verdict for verdict in found] == ["pass"] * 4


def test_a_queue_keeps_a_worker_with_its_tests_and_workers_apart() -> None:
    first, second, third = (CallTests(f"assert f() == {n}") for n in range(3))
    queue = _Queue(
        [Job(n, "", tests) for n, tests in enumerate([first] * 3 + [second] * 2 + [third])], ahead=5
    )
    one, two = object(), object()
    order = [queue.take(worker) for worker in (one, two, one, two, two, one, one)]  # type: ignore[arg-type]
    assert [found and found[0] for found in order] == [0, 3, 1, 4, 5, 2, None]
