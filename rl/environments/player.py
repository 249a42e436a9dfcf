"""Plays episodes with an engine and the sandbox: all that are live answer together, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rl.environments.episode import Environment, Episode, Trial
from rl.rollouts.rewards import NO_PROGRAM, UNJUDGED, runnable
from rl.rollouts.sampler import Query, Rollout, Sampler
from rl.rollouts.turns import Dialogue, Turn
from seedbed.inference.engine import Sampling, sample_seed
from seedbed.sandbox import Job


@dataclass
class _Seat:
    """An episode that is being played.

    first, query: what was asked first, and what is asked next. ended: as in Dialogue, or "".
    """

    first: Query
    query: Query
    episode: Episode
    turns: list[Turn] = field(default_factory=list)
    ended: str = ""


class Player:
    """Plays the episodes of an environment. It owns neither engine nor sandbox nor environment.

    max_context: tokens of an episode with its prompts and answers.
    """

    def __init__(self, sampler: Sampler, environment: Environment, max_context: int):
        self._sampler, self._environment, self._room = sampler, environment, max_context

    def play(self, queries: Sequence[Query], sampling: Sampling) -> list[Dialogue]:
        """One episode for each query, in order.

        The first turn has the query's seed. That of a later one depends on it and on the number of
        the turn alone, so an episode is the same whichever others are still live.
        """
        seats = [_Seat(query, query, self._environment.begin(query.problem)) for query in queries]
        for number in range(1, self._environment.cfg.max_turns + 1):
            live = [seat for seat in seats if not seat.ended]
            if not live:
                break
            asked = [seat.query for seat in live]
            for seat, sample in zip(live, self._sampler.draw(asked, sampling), strict=True):
                seat.turns.append(Turn(sample, self._sampler.text(seat.query, sample)))
            for seat in live:
                seat.ended = self._end_of_answer(seat, number)
            going = [seat for seat in live if not seat.ended]
            if going:
                self._answer(going, sampling.max_tokens)
        return [Dialogue(tuple(seat.turns), seat.ended) for seat in seats]

    def judge(self, queries: Sequence[Query], dialogues: Sequence[Dialogue]) -> list[Rollout]:
        """The episodes with their rewards, in order.

        Every answer is judged by all tests, when all episodes are over.
        """
        both = list(zip(queries, dialogues, strict=True))
        asked = [query for query, dialogue in both for _ in dialogue.turns]
        samples = [turn.sample for _, dialogue in both for turn in dialogue.turns]
        judged = iter(self._sampler.judge(asked, samples))
        found = []
        for query, dialogue in both:
            mine = [next(judged) for _ in dialogue.turns]
            by_turn = tuple(one.reward for one in mine)
            reward = self._environment.reward(dialogue.turns, by_turn)
            found.append(
                Rollout(
                    query.problem,
                    query.prompt,
                    dialogue.sample,
                    mine[-1].completion,
                    reward,
                    dialogue,
                    by_turn,
                )
            )
        return found

    def _end_of_answer(self, seat: _Seat, number: int) -> str:
        """Why an episode ends with its last answer, whatever that holds; "" where it may go on."""
        sample = seat.turns[-1].sample
        if not sample.finished:
            return "cut"
        if number == self._environment.cfg.max_turns:
            return "turns"
        if sample.tokens[-1:] != [self._sampler.chat.end_id]:
            return "stopped"
        return ""

    def _answer(self, seats: Sequence[_Seat], room: int) -> None:
        """Tries the last answers of the seats, and tells each model what came of it."""
        trials = [seat.episode.act(seat.turns[-1].text) for seat in seats]
        self._try(seats, trials)
        for seat in seats:
            if not seat.ended:
                self._tell(seat, room)

    def _try(self, seats: Sequence[_Seat], trials: Sequence[Trial | None]) -> None:
        asked = [
            (seat, trial) for seat, trial in zip(seats, trials, strict=True) if trial is not None
        ]
        runs = [(seat.query.problem, trial) for seat, trial in asked if trial.program.strip()]
        distinct = list(dict.fromkeys(runs))
        jobs = (
            Job(p.task_id, runnable(p, trial.program), trial.tests, reference=p.code)
            for p, trial in distinct
        )
        found = {
            key: (verdict.verdict, verdict.reason)
            for key, verdict in zip(distinct, self._sampler.sandbox.run(jobs), strict=True)
        }
        for seat, trial in asked:
            verdict, reason = found.get((seat.query.problem, trial), ("error", NO_PROGRAM))
            seat.turns[-1] = replace(seat.turns[-1], verdict=verdict, reason=reason)
            if verdict in UNJUDGED:
                seat.ended = "unjudged"
            else:
                seat.episode.learn(verdict, reason)

    def _tell(self, seat: _Seat, room: int) -> None:
        last = seat.turns[-1]
        observation = shortened(seat.episode.observe(), self._environment.cfg.max_observation)
        if seat.episode.fault:
            reason = seat.episode.fault
            seat.turns[-1] = replace(last, verdict="infrastructure", reason=reason)
            seat.ended = "unjudged"
            return
        if not observation:
            seat.ended = "passed" if last.verdict == "pass" else "over"
            return
        told = self._sampler.chat.following(observation)
        # The sampled ids stay as they are. The text that they stand for might be cut into others.
        prompt = [*seat.query.prompt, *last.sample.tokens, *told]
        if len(prompt) + room > self._room:
            seat.ended = "context"
            return
        seat.turns[-1] = replace(last, observation=observation, told=told)
        seed = sample_seed(seat.first.seed, "turn", len(seat.turns) + 1)
        seat.query = replace(seat.query, prompt=prompt, seed=seed)


def shortened(text: str, most: int) -> str:
    """The text, or where it is longer than `most` characters its two ends, with what is missing."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"
