"""From a problem to judged samples: prompt, seed, generation, program, verdict, reward.

GRPO's rollout worker, DPO's pair sampler and the evaluation all go this way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rl.problems.problem_set import Problem
from rl.rollouts import rewards
from rl.rollouts.rewards import Reward
from rl.rollouts.turns import Dialogue, mask
from seedbed.inference.chat import Chat
from seedbed.inference.engine import AnyEngine, Sample, Sampling, sample_seed
from seedbed.sandbox import Sandbox
from seedbed.sandbox.languages import LANGUAGES

# A function body has ended where the next line starts at the margin. Same idea as Codex's stop
# sequences (arXiv 2107.03374 Sec 2.2). A fence ends it as well.
STOP = (
    "\nclass ", "\ndef ", "\n#", "\nif ", "\nprint", "\n@", "\nassert ", "\nimport ", "\nfrom ",
    "\n```",
)  # fmt: skip
# What a model is asked in a chat where the problem's prompt is the beginning of a program.
_COMPLETE = "Complete this {} function. Answer with the whole function.\n\n```{}\n{}```"


@dataclass(frozen=True)
class Query:
    """One completion that is asked for.

    continues: the completion goes on with the text of the prompt (HumanEval), and is no reply to
    it.
    """

    problem: Problem
    prompt: list[int]
    seed: int
    continues: bool = False


@dataclass(frozen=True)
class Rollout:
    """One judged sample. Rollouts of one problem stand side by side, in the order of drawing.

    dialogue: the turns of an episode; `sample` is then its whole response, and `completion` the
    text of its last answer. by_turn: the reward of each answer by all tests of the problem.
    """

    problem: Problem
    prompt: list[int]
    sample: Sample
    completion: str
    reward: Reward
    dialogue: Dialogue | None = None
    by_turn: tuple[Reward, ...] = ()

    @property
    def spans(self) -> list[tuple[int, int]]:
        """[start, end) of each answer in the sample's tokens."""
        return self.dialogue.spans if self.dialogue else [(0, len(self.sample.tokens))]

    @property
    def mask(self) -> list[bool]:
        """For each of the sample's tokens whether the model sampled it."""
        return mask(self.spans, len(self.sample.tokens))

    @property
    def sampled(self) -> int:
        """Tokens that the model sampled."""
        return sum(end - start for start, end in self.spans)

    @property
    def longest_answer(self) -> int:
        """Tokens of the longest answer."""
        return max(end - start for start, end in self.spans)


class Sampler:
    """Draws samples from an engine and has the sandbox judge them. It owns neither of the two."""

    def __init__(self, engine: AnyEngine, sandbox: Sandbox, chat: Chat):
        self._engine, self.sandbox, self.chat = engine, sandbox, chat

    def draw(self, queries: Sequence[Query], sampling: Sampling) -> list[Sample]:
        """One sample per query, in order. Those that continue a text end at its next statement.

        The engine is asked once for each set of stop texts, so that none cuts another's samples.
        """
        found: dict[int, Sample] = {}
        for stops in sorted({stops_of(q) for q in queries}):
            some = [(i, q) for i, q in enumerate(queries) if stops_of(q) == stops]
            how = replace(sampling, stop=stops) if stops else sampling
            prompts, seeds = [q.prompt for _, q in some], [q.seed for _, q in some]
            drawn = self._engine.generate(prompts, seeds, how)
            found |= {i: sample for (i, _), sample in zip(some, drawn, strict=True)}
        return [found[i] for i in range(len(queries))]

    def judge(self, queries: Sequence[Query], samples: Sequence[Sample]) -> list[Rollout]:
        """The samples of the queries, in order, with the sandbox's verdicts."""
        texts = [self.text(q, sample) for q, sample in zip(queries, samples, strict=True)]
        problems = [q.problem for q in queries]
        programs = [rewards.program_of(p, text) for p, text in zip(problems, texts, strict=True)]
        judged = rewards.score(self.sandbox, problems, programs)
        return [
            Rollout(q.problem, q.prompt, sample, text, reward)
            for q, sample, text, reward in zip(queries, samples, texts, judged, strict=True)
        ]

    def text(self, query: Query, sample: Sample) -> str:
        """The completion that a sample is."""
        # Stop strings cut the engine's text, but not its tokens.
        return sample.text if stops_of(query) else self.chat.decode(sample.tokens)


def queries(
    problems: Sequence[Problem],
    samples: int,
    prompt: Callable[[Problem], list[int]],
    seed: int,
    *parts: int,
) -> list[Query]:
    """`samples` queries for each problem, side by side, that ask for a reply to prompt(problem).

    Each has a seed that depends on (seed, *parts, task_id, number of the sample) alone.
    """
    found = []
    for problem in problems:
        ids, task = prompt(problem), problem.task_id
        seeds = [sample_seed(seed, *parts, task, number) for number in range(samples)]
        found += [Query(problem, ids, each) for each in seeds]
    return found


def stops_of(query: Query) -> tuple[str, ...]:
    """The texts at which a completion ends; empty for a reply, which ends by itself."""
    if not query.continues:
        return ()
    python = rewards.language_of(query.problem) == "python"
    return query.problem.stops or (STOP if python else ())


def question(problem: Problem) -> str:
    """What a user asks for the problem's sake, in every program that goes through a chat."""
    if not problem.continues:
        return problem.prompt
    name = rewards.language_of(problem)
    title = LANGUAGES[name].title if name in LANGUAGES else name.title()
    return _COMPLETE.format(title, name, problem.prompt)


def chat_prompt(chat: Chat, problem: Problem) -> list[int]:
    """Token ids of the chat that asks for a problem's solution."""
    return chat.prompt(question(problem))


def judged_row(rollout: Rollout) -> dict[str, Any]:
    """What every record of a rollout says of it."""
    return {
        "task_id": rollout.problem.task_id,
        "prompt": rollout.problem.prompt,
        "completion": rollout.completion,
        "verdict": rollout.reward.verdict,
        "reason": rollout.reward.reason,
    }


def token_row(rollout: Rollout) -> dict[str, Any]:
    """What training on a recorded rollout needs."""
    return {
        "finished": rollout.sample.finished,
        "prompt_tokens": rollout.prompt,
        "tokens": rollout.sample.tokens,
        "logprobs": [round(value, 6) for value in rollout.sample.logprobs],
    }


def turn_row(rollout: Rollout) -> dict[str, Any]:
    """What a record says of the turns of an episode; {} for a sample that is none.

    spans: starts and ends of the answers in `tokens`; the tokens between them were told, and do not
    train. turn_rewards: of each answer by all tests, None without a verdict. earlier: the answers
    before the last one, with the verdict on the visible tests and what the model was told.
    """
    if rollout.dialogue is None:
        return {}
    turns = rollout.dialogue.turns
    return {
        "turns": len(turns),
        "masked_tokens": len(rollout.sample.tokens) - rollout.sampled,
        "ended": rollout.dialogue.ended,
        "spans": [edge for span in rollout.spans for edge in span],
        "turn_rewards": [one.value if one.counted else None for one in rollout.by_turn],
        "earlier": [
            {
                "completion": turn.text,
                "verdict": turn.verdict,
                "reason": turn.reason,
                "observation": turn.observation,
            }
            for turn in turns[:-1]
        ],
    }
