"""Programs -> rewards, from the sandbox's verdicts.

A reward is 1 for the verdict pass and 0 for any other verdict on the program. There is none where
the sandbox has no verdict (infrastructure, unsupported).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from conf.errors import SeedbedError
from rl.problems.problem_set import Problem
from rl.rollouts.extraction import extract_program, quoted_answer
from rl.rollouts.foreign import extract_source, whole_source
from rl.rollouts.python_text import dedented, is_program, names_in_tests
from seedbed.inference import markdown, thoughts
from seedbed.sandbox import CallTests, Job, Limits, Sandbox, StdioTests, languages
from seedbed.sandbox.formats import cut
from seedbed.sandbox.languages import installed
from seedbed.sandbox.prompted import whole
from seedbed.sandbox.reference import UNFIT

# Verdicts that say nothing of the program. Samples that have one do not train and do not count.
UNJUDGED = frozenset({"infrastructure", "unsupported"})
# Verdict -> name of its share in logs. All other verdicts on a program count as `error`.
SHARES = {"pass": "pass", "fail": "wrong", "timeout": "timeout"} | {name: name for name in UNJUDGED}
NO_PROGRAM = "the answer holds no program"


@dataclass(frozen=True)
class Reward:
    """The reward of one sample, and the verdict behind it.

    value: 1.0 or 0.0. counted: False where the sandbox has no verdict on the program (UNJUDGED);
    such a sample must not train. malformed: the completion holds no program to run.
    """

    value: float
    counted: bool
    malformed: bool
    verdict: str
    reason: str


def program_of(problem: Problem, completion: str) -> str:
    """The program in a completion; "" where it holds none.

    This is the one rule of GRPO, DPO, distillation, fine-tuning, evaluation and rescoring. Where a
    completion goes on with the prompt's text (HumanEval), it is returned as it is, up to the first
    of the problem's stop texts. `score` puts the prompt before it.
    """
    if problem.continues and _goes_on(problem, completion):
        return cut(completion, problem.stops)
    if language_of(problem) != "python":
        return extract_source(completion, language_of(problem))
    if _is_quoted(problem):
        return quoted_answer(completion)
    return extract_program(completion, tested(problem), isinstance(problem.tests, StdioTests))


def tested(problem: Problem) -> frozenset[str]:
    """The names of the program that the problem's tests use; empty where they are not known."""
    return _tested(problem.tests) if isinstance(problem.tests, CallTests) else frozenset()


def score(sandbox: Sandbox, problems: Sequence[Problem], programs: Sequence[str]) -> list[Reward]:
    """Rewards of programs[i], as `program_of` gives them, for problems[i], in order.

    Where a problem asks for the continuation of its prompt, what the prompt imports and defines is
    the program's too. The same program for the same problem is judged once, and no program is
    wrong without being run. A problem's own solution is judged first, and the limits grow where it
    is slow. A problem whose solution fails is named on stderr, and its programs are not counted.
    """
    distinct = list(dict.fromkeys(zip(problems, programs, strict=True)))
    runs = [(p, program) for p, program in distinct if program.strip()]
    jobs = (Job(p.task_id, runnable(p, program), p.tests, reference=p.code) for p, program in runs)
    verdicts = dict(zip(runs, sandbox.run(jobs), strict=True))
    for task, reason in {
        v.task_id: v.reason for v in verdicts.values() if v.reason.startswith(UNFIT)
    }.items():
        print(f"dropped: task {task!r}: {reason}", file=sys.stderr)
    rewards = []
    for pair in zip(problems, programs, strict=True):
        if pair not in verdicts:
            rewards.append(Reward(0.0, True, True, "error", NO_PROGRAM))
            continue
        verdict = verdicts[pair]
        rewards.append(
            Reward(
                value=float(verdict.verdict == "pass"),
                counted=verdict.verdict not in UNJUDGED,
                malformed=not _is_program(*pair),
                verdict=verdict.verdict,
                reason=verdict.reason,
            )
        )
    return rewards


def language_of(problem: Problem) -> str:
    """The language of the problem's programs. Tests that name none are Python's."""
    return getattr(problem.tests, "language", "python")


def _is_program(problem: Problem, text: str) -> bool:
    # Only Python is looked at; a value that is asked for is no program, and is as good as one.
    python = language_of(problem) == "python" and not _is_quoted(problem)
    return is_program(dedented(text)) if python else bool(text.strip())


def _is_quoted(problem: Problem) -> bool:
    """Whether the answer is a value, and no program."""
    return isinstance(problem.tests, CallTests) and problem.tests.quoted


def runnable(problem: Problem, program: str) -> str:
    """What the sandbox runs for a program as `program_of` gives it: with what its prompt brings."""
    if not problem.continues or len(program) > Limits.program_bytes:
        return program
    if language_of(problem) != "python":
        return whole_source(problem.prompt, program)
    return whole(problem.prompt, tested(problem), program)


def _goes_on(problem: Problem, completion: str) -> bool:
    """Whether a completion is the rest of the prompt's function, and no reply to it."""
    lines = completion.split("\n")
    first = next((line for line in lines if line.strip()), "")
    if not (first[:1].isspace() or not problem.prompt.endswith("\n")):
        return False
    return not thoughts.tags(completion) and not any(map(markdown.opening, lines))


@lru_cache(maxsize=1 << 14)
def _tested(tests: CallTests) -> frozenset[str]:
    names = names_in_tests(tests.code, tests.setup, tests.names)
    # What the adapter defines stands for what it calls.
    return names | names_in_tests(tests.adapter, tests.prelude) if tests.adapter else names


def failing_references(sandbox: Sandbox, problems: Sequence[Problem]) -> dict[str, str]:
    """task_id -> reason, for every problem that no sample could answer, or that cannot be judged.

    A problem's own solution must pass. Of a problem without a solution a program is judged that
    answers None to everything; any verdict on it will do. Where there is no such program, the
    tests must be of a kind that judges its language, and the language's tools be installed.

    Raises:
        SeedbedError: where the sandbox does not pass a plain program either. An outage must not
            drop a problem for good.
    """
    programs = [problem.code or _stub(problem) for problem in problems]
    known = [(p, program) for p, program in zip(problems, programs, strict=True) if program]
    judged = score_again(sandbox, [p for p, _ in known], [program for _, program in known])
    found = {}
    for problem in problems:
        told = _unjudged(problem)
        if told:
            found[problem.task_id] = f"it cannot be judged: {told}"
    for (problem, _), reward in zip(known, judged, strict=True):
        told = f"{reward.verdict}: {reward.reason}"
        if not reward.counted:
            found[problem.task_id] = f"it cannot be judged: {told}"
        elif problem.code and reward.verdict != "pass":
            found[problem.task_id] = f"its reference fails its own tests: {told}"
    return found


def require_working(sandbox: Sandbox) -> None:
    """Raises SeedbedError where the sandbox does not pass a plain program."""
    plain = Job("plain", "def f(x):\n    return x + 1\n", CallTests("assert f(1) == 2"))
    [verdict] = sandbox.run([plain])
    if verdict.verdict != "pass":
        raise SeedbedError(
            f"the sandbox has no verdict on a plain program: {verdict.reason}",
            "`python -m seedbed.sandbox check` tells what this machine gives; then run again",
        )


def score_again(
    sandbox: Sandbox, problems: Sequence[Problem], programs: Sequence[str]
) -> list[Reward]:
    """`score`, where an outage would decide for good.

    Programs without a verdict are judged once more, before and after a plain program. So a verdict
    `infrastructure` that is left is that of the program or of its problem.

    Raises:
        SeedbedError: where the sandbox does not pass the plain program.
    """
    judged = score(sandbox, problems, programs)
    struck = [i for i, reward in enumerate(judged) if reward.verdict == "infrastructure"]
    if struck:
        require_working(sandbox)
        again = score(sandbox, [problems[i] for i in struck], [programs[i] for i in struck])
        for i, reward in zip(struck, again, strict=True):
            judged[i] = reward
        require_working(sandbox)
    return judged


def _unjudged(problem: Problem) -> str:
    """Why no program of a problem has a verdict, as far as its language tells; else empty."""
    reason = languages.unjudged(problem.tests, language_of(problem))
    lacks = installed.missing([language_of(problem)])
    return f"unsupported: {reason}" if reason else f"infrastructure: {lacks[0]}" if lacks else ""


def _stub(problem: Problem) -> str:
    """Functions that answer None, for all names that the tests call; "" for a script's tests."""
    names = sorted(name for name in tested(problem) if name.isidentifier())
    return "".join(f"def {name}(*values, **named):\n    return None\n\n" for name in names)


def shares(rewards: Iterable[Reward]) -> dict[str, float]:
    """Shares of pass, wrong, error (every other failure), timeout and the verdicts of UNJUDGED.

    The sum is 1.
    """
    counts = Counter(SHARES.get(reward.verdict, "error") for reward in rewards)
    total = max(counts.total(), 1)
    names = ("pass", "wrong", "error", "timeout", *sorted(UNJUDGED))
    return {name: counts[name] / total for name in names}


def mean_reward(rewards: Iterable[Reward]) -> float:
    """Mean over the counted rewards; 0.0 where there is none."""
    values = [reward.value for reward in rewards if reward.counted]
    return sum(values) / max(len(values), 1)
