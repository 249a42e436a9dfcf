"""The reward of judged samples, as the settings ask for it. Process 0 only."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from conf.schema.rl import RewardConfig
from rl.rollouts.rewards import Reward
from rl.rollouts.sampler import Rollout
from rl.shaping.custom import RewardFunction
from rl.shaping.partial_credit import Judged, with_fractions
from seedbed.sandbox import Sandbox


class Shaper:
    """Turns the verdicts of rollouts into rewards; it owns the process of a reward function."""

    def __init__(self, cfg: RewardConfig, sandbox: Sandbox):
        """Raises SeedbedError where reward.function is none."""
        self._cfg, self._sandbox = cfg, sandbox
        self._function: RewardFunction | None = None
        if cfg.function:
            self._function = RewardFunction(cfg.function, cfg.function_timeout_s)
        # What has been said of the function's errors.
        self._said: set[str] = set()

    def __enter__(self) -> Shaper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._function is not None:
            self._function.close()

    def __call__(self, rollouts: Sequence[Rollout], programs: Sequence[str]) -> list[Rollout]:
        """The rollouts of `programs` with their rewards, in order."""
        rewards = [rollout.reward for rollout in rollouts]
        if self._cfg.kind == "fraction":
            both = zip(rollouts, programs, strict=True)
            judged = [Judged(r.problem, program, r.reward) for r, program in both]
            rewards = with_fractions(self._sandbox, judged, self._cfg.fraction_tests)
        if self._function is not None:
            rewards = self._own(rollouts, programs, rewards)
        paired = zip(rollouts, rewards, strict=True)
        return [replace(rollout, reward=reward) for rollout, reward in paired]

    def _own(
        self, rollouts: Sequence[Rollout], programs: Sequence[str], rewards: Sequence[Reward]
    ) -> list[Reward]:
        """What the function says of the samples with a verdict; the others stay uncounted."""
        assert self._function is not None
        asked = [i for i, reward in enumerate(rewards) if reward.counted]
        samples = [_told(rollouts[i], programs[i], rewards[i]) for i in asked]
        found = list(rewards)
        for i, answer in zip(asked, self._function(samples), strict=True):
            found[i] = (
                self._failed(found[i], answer)
                if isinstance(answer, str)
                else replace(found[i], value=answer)
            )
        return found

    def _failed(self, reward: Reward, error: str) -> Reward:
        reason = f"reward.function={self._cfg.function}: {error}"
        if reason not in self._said:
            self._said.add(reason)
            print(f"no reward: {reason}", file=sys.stderr)
        return replace(reward, counted=False, verdict="infrastructure", reason=reason)


def _told(rollout: Rollout, program: str, reward: Reward) -> dict[str, Any]:
    """The dict that a reward function gets."""
    return {
        "task_id": rollout.problem.task_id,
        "prompt": rollout.problem.prompt,
        "completion": rollout.completion,
        "program": program,
        "verdict": reward.verdict,
        "reason": reward.reason,
        "reward": reward.value,
        "tokens": rollout.sampled,
        "finished": rollout.sample.finished,
    }
