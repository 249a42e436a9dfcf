"""Judges a program whose tests are source text in its own language (verdict.SourceTests).

Where the tests can be taken apart the program prints its answers, and they are compared outside of
its process. Where not, they run in its process, and the finding is marked as weaker.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from seedbed.sandbox.judge import Finding
from seedbed.sandbox.languages import sealing
from seedbed.sandbox.languages.beside import with_token
from seedbed.sandbox.languages.language import Language
from seedbed.sandbox.verdict import SourceTests

# Compiles a text and runs it: a finding on how it ended, and what it printed. The second argument
# says whether what the compiler makes is kept.
Run = Callable[[str, bool], tuple[Finding, str]]
# Problems whose expected values a worker remembers.
_KEPT = 512
BESIDE = "in-process-tests"


class SourceJudge:
    """Judges programs by such tests. It remembers what each problem expects."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, SourceTests], list[str] | None] = {}

    def judge(self, language: Language, program: str, tests: SourceTests, run: Run) -> Finding:
        """The finding on a program."""
        sealed = sealing.seal(language.name, tests.prompt, tests.code)
        if sealed is None:
            return _beside(language, program, tests, run)
        expected: list[str] | None = []
        if sealed.judge is None:
            fault, expected = self._expected(language, tests, sealed, run)
            if fault is not None:
                return fault
        if expected is None:
            return _beside(language, program, tests, run)
        text = sealing.whole(language.name, program, sealed.answers)
        found, printed = run(text, True)
        if found.outcome != "pass":
            return found
        answers = marked(printed)
        if len(answers) != sealed.calls:
            reason = f"{len(answers)} of {sealed.calls} calls were answered"
            return replace(found, outcome="fail", reason=reason)
        if sealed.judge is not None:
            verdict, _ = run(sealed.judge(answers), False)
            return replace(verdict, cpu=found.cpu, rss=found.rss)
        for number, (want, got) in enumerate(zip(expected, answers, strict=True)):
            if want != got:
                reason = f"call {number}: expected {want[:100]}, got {got[:100]}"
                return replace(found, outcome="fail", reason=reason)
        return found

    def _expected(
        self, language: Language, tests: SourceTests, sealed: sealing.Sealed, run: Run
    ) -> tuple[Finding | None, list[str] | None]:
        """What the tests expect; None where they cannot be sealed. A fault of ours comes first."""
        key = (language.name, tests)
        if key not in self._known:
            found, printed = run(sealed.expected, True)
            if found.outcome == "infrastructure":
                return found, None
            lines = marked(printed)
            good = found.outcome == "pass" and len(lines) == sealed.calls
            if len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = lines if good else None
        return None, self._known[key]


def _beside(language: Language, program: str, tests: SourceTests, run: Run) -> Finding:
    token = os.urandom(16).hex()
    found, printed = run(with_token(language.name, program, tests.code, token), False)
    if found.outcome == "pass" and token not in marked(printed):
        found = replace(found, outcome="fail", reason="the program ended before its tests did")
    return replace(found, weakened=BESIDE)


def marked(printed: str) -> list[str]:
    """The lines of an output that begin with the mark, without it."""
    return [line[1:] for line in printed.split("\n") if line.startswith(sealing.MARK)]
