from __future__ import annotations

import itertools
import threading

import pytest

from conf.errors import SeedbedError
from rl.sandbox import CallTests, Job, Limits, Sandbox, Verdict

SUM = "def f(a, b): return a + b"


def jobs(count: int) -> list[Job]:
    """Right and wrong by turns, every fifth slow, so that they end in another order."""
    slow = "__import__('time').sleep(0.3)\n"
    return [
        Job(n, SUM, CallTests(f"{slow if n % 5 == 0 else ''}assert f({n}, 1) == {n + 1 + n % 2}")) for n in range(count)
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


def test_a_fault_in_the_jobs_iterable_reaches_the_caller_and_the_pool_lives_on(sandbox: Sandbox) -> None:
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


@pytest.mark.parametrize("limits", [{"cpu_seconds": 0}, {"memory_bytes": -1}, {"wall_seconds": float("nan")}])
def test_a_limit_that_is_not_positive_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(SeedbedError, match=f"{next(iter(limits))} = .* must be above 0"):
        Sandbox(1, Limits(**limits))  # type: ignore[arg-type]
