"""The steps from a snippet to a problem, in the report's order (Sec 3.1).

They are task, style, solution, syntax filter, the model's own judgement, difficulty, tests, and the
sandbox with rounds of self-correction. Each snippet ends as a problem, or with the first reason why
not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import pyarrow as pa

from conf.schema.ask import SynthesisConfig
from rl.rollouts import rewards
from rl.synthesis import answers
from rl.synthesis.answers import Fault
from rl.synthesis.draft import REASONS, Draft, Yield, task_hash
from rl.synthesis.teacher import Teacher
from seedbed import benchmarks
from seedbed.inference import prompt
from seedbed.inference.prompt import Prompt
from seedbed.kernels import ngrams
from seedbed.kernels.source_code.grammars import GRAMMARS
from seedbed.kernels.source_code.parse_guard import ParseGuard
from seedbed.sandbox import Job, Sandbox, Verdict, formats

# Step -> the placeholders of its prompt.
_PLACEHOLDERS = {
    "task": {"language", "snippet"},
    "restyle": {"first_style", "second_style", "task"},
    "solve": {"prompt"},
    "judge": {"prompt", "code"},
    "difficulty": {"prompt"},
    "tests": {"prompt", "code"},
    "repair": {"prompt", "code", "tests", "verdict"},
}
# CPU seconds for one program, because some grammars loop for ever on tiny inputs.
SYNTAX_SECONDS = 5.0


def prompts(folder: str) -> dict[str, Prompt]:
    """The prompt of each step that asks the model.

    Raises:
        SeedbedError: for a file that is missing or has other placeholders.
    """
    return {
        step: prompt.load(f"{folder}/{step}.txt", frozenset(placeholders))
        for step, placeholders in _PLACEHOLDERS.items()
    }


class Steps:
    """Takes one batch of drafts at a time through all steps.

    texts: the prompt of each step. seen: hashes of the tasks that earlier batches kept.
    """

    def __init__(
        self,
        cfg: SynthesisConfig,
        teacher: Teacher,
        sandbox: Sandbox,
        texts: dict[str, Prompt],
        seen: set[str],
    ):
        self._cfg, self._teacher, self._pool = cfg, teacher, sandbox
        self._texts, self._seen = texts, seen

    def run(
        self, drafts: Sequence[Draft], show: Callable[[str], None] = lambda step: None
    ) -> dict[str, Yield]:
        """Takes all drafts to their end; returns what each step yielded.

        show: called with the name of each step that begins.
        """
        found = {}
        for step in REASONS:
            show(step)
            alive = [draft for draft in drafts if draft.reason is None]
            before = [(draft.tokens_in, draft.tokens_out) for draft in alive]
            for draft in alive:
                draft.step = step
            if alive:
                getattr(self, f"_{step}")(alive)
            result = Yield(len(alive), sum(draft.reason is None for draft in alive))
            for draft, (tokens_in, tokens_out) in zip(alive, before, strict=True):
                result.tokens_in += draft.tokens_in - tokens_in
                result.tokens_out += draft.tokens_out - tokens_out
                if draft.reason is not None:
                    result.dropped[draft.reason] = result.dropped.get(draft.reason, 0) + 1
            found[step] = result
        return found

    def _task(self, drafts: Sequence[Draft]) -> None:
        def values(draft: Draft) -> dict[str, str]:
            return {"language": draft.snippet.language, "snippet": draft.snippet.text}

        for draft, answer in self._ask("task", drafts, values):
            found = answers.task(answer)
            if isinstance(found, Fault):
                draft.drop("no_task", found.why)
            else:
                draft.task = found

    def _restyle(self, drafts: Sequence[Draft]) -> None:
        def values(draft: Draft) -> dict[str, str]:
            first, second = draft.snippet.styles
            return {"first_style": first, "second_style": second, "task": draft.task}

        for draft, answer in self._ask("restyle", drafts, values):
            found = answers.task(answer)
            if isinstance(found, Fault):
                draft.drop("no_task", found.why)
                continue
            draft.prompt = found
            key = task_hash(found)
            if key in self._seen:
                draft.drop("duplicate", "another snippet gave this task before")
                continue
            if not self._drop_contaminated(draft, f"{draft.task}\n{found}"):
                self._seen.add(key)

    def _solve(self, drafts: Sequence[Draft]) -> None:
        for draft, answer in self._ask("solve", drafts, lambda d: {"prompt": d.prompt}):
            found = answers.program(answer)
            if isinstance(found, Fault):
                draft.drop("no_program", found.why)
            else:
                draft.code = found

    def _syntax(self, drafts: Sequence[Draft]) -> None:
        with ParseGuard(SYNTAX_SECONDS) as guard:
            for draft in drafts:
                status, facts = guard.facts(draft.code.encode(), GRAMMARS["Python"])
                if facts is None or facts.has_error:
                    share = f"{facts.error_share:.1%} of bytes in error" if facts else status
                    draft.drop("syntax_error", share)

    def _judge(self, drafts: Sequence[Draft]) -> None:
        for draft, answer in self._ask(
            "judge", drafts, lambda d: {"prompt": d.prompt, "code": d.code}
        ):
            grade = answers.correctness(answer)
            if isinstance(grade, Fault):
                draft.drop("no_grade", grade.why)
                continue
            draft.correctness = grade
            if grade < self._cfg.min_correctness:
                draft.drop(
                    "judged_wrong", f"{grade} of 10, min_correctness is {self._cfg.min_correctness}"
                )

    def _difficulty(self, drafts: Sequence[Draft]) -> None:
        for draft, answer in self._ask("difficulty", drafts, lambda d: {"prompt": d.prompt}):
            found = answers.difficulty(answer)
            if isinstance(found, Fault):
                draft.drop("no_grade", found.why)
                continue
            draft.difficulty, draft.topic = found
            if draft.difficulty < self._cfg.min_difficulty:
                draft.drop(
                    "too_easy",
                    f"{draft.difficulty} of 10, min_difficulty is {self._cfg.min_difficulty}",
                )

    def _tests(self, drafts: Sequence[Draft]) -> None:
        for draft, answer in self._ask(
            "tests", drafts, lambda d: {"prompt": d.prompt, "code": d.code}
        ):
            found = answers.tests(answer, self._cfg.min_tests)
            if isinstance(found, Fault):
                draft.drop("no_tests", found.why)
            else:
                draft.tests = found

    def _sandbox(self, drafts: Sequence[Draft]) -> None:
        waiting = list(drafts)
        for number in range(self._cfg.rounds + 1):
            verdicts = self._verdicts([(draft, draft.code) for draft in waiting])
            failing = [
                (d, v) for d, v in zip(waiting, verdicts, strict=True) if v.verdict != "pass"
            ]
            if number == self._cfg.rounds:
                for draft, verdict in failing:
                    draft.drop("fails_its_tests", f"{verdict.verdict}: {verdict.reason}")
                break
            waiting = self._repair(failing)
            for draft in waiting:
                draft.rounds = number + 1
        passing = [draft for draft in drafts if draft.reason is None]
        stubs = self._verdicts([(draft, answers.stub(draft.code)) for draft in passing])
        for draft, verdict in zip(passing, stubs, strict=True):
            if verdict.verdict == "pass":
                draft.drop("tests_prove_nothing", "a function that returns None passes them")
            else:
                self._drop_contaminated(draft, "\n".join([draft.code, *draft.tests]))

    def _drop_contaminated(self, draft: Draft, text: str) -> bool:
        """Drops the draft where `text` shares an n-gram with a benchmark; whether it does."""
        [hit] = ngrams.smallest_hits(pa.array([text]), self._benchmarks)
        if hit is not None:
            draft.drop("contaminated", f"{hit[0]}: {hit[1]}")
        return hit is not None

    def _repair(self, failing: Sequence[tuple[Draft, Verdict]]) -> list[Draft]:
        """Asks for a new program and new tests, showing each verdict; the drafts that got both."""
        reasons = {
            draft.snippet.task_id: f"{verdict.verdict}: {verdict.reason}"
            for draft, verdict in failing
        }

        def values(draft: Draft) -> dict[str, str]:
            return {
                "prompt": draft.prompt,
                "code": draft.code,
                "tests": "\n".join(draft.tests),
                "verdict": reasons[draft.snippet.task_id],
            }

        repaired = []
        for draft, answer in self._ask("repair", [draft for draft, _ in failing], values):
            found = answers.repair(answer, self._cfg.min_tests)
            if isinstance(found, Fault):
                draft.drop("no_repair", f"{found.why}, after {reasons[draft.snippet.task_id]}")
                continue
            draft.code, draft.tests = found
            repaired.append(draft)
        return repaired

    def _verdicts(self, programs: Sequence[tuple[Draft, str]]) -> list[Verdict]:
        """The sandbox's verdict on each program under its draft's tests.

        Raises:
            SeedbedError: where the sandbox does not pass a plain program either. Nothing of the
                batch is recorded then, and the next run judges again.
        """
        jobs = []
        for draft, program in programs:
            problem = {
                "task_id": draft.snippet.task_id,
                "test_list": list(draft.tests),
                "code": draft.code,
            }
            jobs.append(Job(draft.snippet.task_id, program, formats.tests(problem)))
        found = self._pool.run(jobs)
        lost = [at for at, verdict in enumerate(found) if verdict.verdict == "infrastructure"]
        if lost:
            # Where the sandbox works, the tests are at fault, as those that pass a date.
            rewards.require_working(self._pool)
            for at, verdict in zip(lost, self._pool.run([jobs[at] for at in lost]), strict=True):
                found[at] = verdict
            rewards.require_working(self._pool)
        return found

    def _ask(
        self, step: str, drafts: Sequence[Draft], values_of: Callable[[Draft], dict[str, str]]
    ) -> Iterator[tuple[Draft, str]]:
        """Yields the drafts with their answers; drops those whose prompt was refused.

        values_of: the values of the prompt's placeholders for a draft.
        """
        texts, forms = [], []
        for draft in drafts:
            values = values_of(draft)
            enclosed = hashlib.sha256(
                "\0".join(values[name] for name in sorted(values)).encode()
            ).hexdigest()
            texts.append(self._texts[step].fill(enclosed, **values))
            forms.append(answers.form(step, draft.code, self._cfg.max_answer_tokens))
        for draft, answer in zip(drafts, self._teacher.ask(texts, forms), strict=True):
            draft.tokens_in += answer.tokens_in
            draft.tokens_out += answer.tokens_out
            if answer.failure:
                draft.drop("refused", answer.failure)
            else:
                yield draft, answer.text

    @cached_property
    def _benchmarks(self) -> ngrams.NgramIndex:
        texts = [pair for source in self._cfg.benchmarks for pair in benchmarks.load(source).texts]
        return ngrams.NgramIndex.build(texts, self._cfg.ngram)
