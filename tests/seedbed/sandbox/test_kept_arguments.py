"""Arguments that a program keeps and changes later, or that tests change under it."""

from __future__ import annotations

import pytest

from seedbed.sandbox import CallTests, Job, Sandbox
from seedbed.sandbox.inside.visitors import Followed
from tests.seedbed.sandbox import drawn

# The scene of kept arguments: each of its lines holds for its program.
SCENE = next(scene for scene in drawn.SCENES if "def keep(log)" in scene.program)


def test_each_line_about_a_kept_argument_passes_alone(sandbox: Sandbox) -> None:
    lines = list(map(drawn._escaped, SCENE.lines))
    found = sandbox.run(Job(n, SCENE.program, CallTests(line)) for n, line in enumerate(lines))
    wrong = [(v.verdict, v.reason) for v in found if v.verdict != "pass"]
    assert wrong == []


KEEPER = """
class Keeper:
    def __init__(self, xs): self.xs = xs
    def add(self, x): self.xs.append(x)
    def fill(self, count): self.xs.extend(range(count))
    def size(self): return len(self.xs)
"""


@pytest.mark.parametrize(
    "tests",
    [
        # Too large to be followed, and later too large.
        "xs = list('ab') * 5000\nk = Keeper(xs)\nk.add('x')\nassert k.size() == 10001",
        "xs = [1]\nk = Keeper(xs)\nk.fill(10**5)\nk.add(0)\nassert k.size() == 10**5 + 2",
        # The tests put something in that has no plain form.
        "import re\nxs = [1]\nk = Keeper(xs)\nxs.append(re.compile('a'))\nassert k.size() > 0",
        # Many of them.
        "ks = [Keeper([n]) for n in range(300)]\nassert [k.size() for k in ks] == [1] * 300",
    ],
)
def test_what_cannot_be_followed_is_judged_as_before(sandbox: Sandbox, tests: str) -> None:
    [found] = sandbox.run([Job("t", KEEPER, CallTests(tests))])
    assert found.verdict == "pass", found


def test_a_list_that_is_too_large_to_follow_gives_no_verdict_where_tests_look_at_it(
    sandbox: Sandbox,
) -> None:
    tests = "xs = list('ab') * 5000\nKeeper(xs).add('x')\nassert xs[-1] == 'x'"
    spoiled = KEEPER.replace("append(x)", "append('y')")
    right, wrong = sandbox.run(Job("t", text, CallTests(tests)) for text in (KEEPER, spoiled))
    assert (right.verdict, wrong.verdict) == ("unsupported", "fail")


def test_a_function_that_calls_itself_keeps_nothing(sandbox: Sandbox) -> None:
    followed = Followed(lambda value: repr(value).encode())
    mine, theirs = [1], [2]
    before = followed.counts([mine, theirs], 10)

    def once(xs: list[int]) -> int:
        def go(i: int) -> int:
            return xs[0] if i == 0 else go(i - 1)

        return go(3)

    once(mine)
    assert followed.kept([mine, theirs], before, 10) == []
    held = [mine]
    # With one that is kept all of its request are followed, each once.
    assert followed.kept([mine, theirs], before, 10) == [0, 1]
    followed.add([mine])
    assert followed.kept([mine, theirs], before, 10) == [1]
    assert held


def test_only_small_requests_are_followed_and_those_of_callbacks_only_if_smaller() -> None:
    followed = Followed(lambda value: repr(value).encode())
    assert followed.counts([[]], 4096) != []
    assert followed.counts([[]], 4097) == []
    assert followed.shown([[]], 1024) == [0]
    assert followed.shown([[]], 1025) == []
    # What is followed leaves less room.
    assert followed.counts([[]], 4096) == []


def test_changes_are_seen_once_and_too_large_ones_refused() -> None:
    followed = Followed(lambda value: repr(value).encode())
    xs = [1]
    assert not followed.changed()
    followed.add([xs])
    assert not followed.changed()
    xs.append(2)
    assert followed.changed()
    assert not followed.changed()
    xs += [0] * 20_000
    with pytest.raises(OverflowError):
        followed.changed()
    followed.forget()
    assert not followed.changed()
