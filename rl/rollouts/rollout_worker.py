"""The work of process 0 beside training in GRPO: sample, judge, and give the engine new weights."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from conf.errors import SeedbedError
from conf.schema.rl import GrpoConfig
from megatron_train.parallel import processes
from megatron_train.parallel.processes import on_main
from megatron_train.training.step import TrainState, token_logprobs
from rl.environments.player import Player
from rl.environments.registry import open_environment
from rl.parity import in_run
from rl.problems.problem_set import Problem, Row
from rl.rollouts import reference_check
from rl.rollouts.assess import AssessSettings, assess, save
from rl.rollouts.rewards import program_of, runnable
from rl.rollouts.sampler import Query, Rollout, Sampler, chat_prompt, queries
from rl.rollouts.turns import Dialogue
from rl.shaping.shaper import Shaper
from rl.training.batches import Example, ProcessShare, micro_batches
from rl.weight_sync.sync import WeightSync, open_engine
from seedbed.inference.chat import Chat
from seedbed.inference.engine import Sample, Sampling, sample_seed
from seedbed.sandbox import Sandbox

# After every sync the engine continues so many prompts by so many tokens. Engine and trainer must
# agree on the log-probabilities of these tokens.
PROBES = 8
PROBE_TOKENS = 16
# Fewer than PROBES, because transformers scores one prompt at a time.
PARITY_PROMPTS = 3


class RolloutWorker:
    """Engine and sandbox on process 0; the other processes take part in the collective methods.

    The engine begins to load `base` at once, so that its start and the trainer's overlap.
    """

    def __init__(
        self, cfg: GrpoConfig, base: Path, chat: Chat, probes: Sequence[Problem], out: Path
    ):
        """probes: problems; the engine continues the first prompts that fit after each sync."""
        self._cfg, self.base, self._chat, self._out = cfg, base, chat, out
        prompts = (chat_prompt(chat, problem) for problem in probes)
        self._probes = list(islice((p for p in prompts if len(p) <= cfg.max_prompt), PROBES))
        # The step whose episodes are being played, and the episodes.
        self._ahead: tuple[int, Future[list[Dialogue]]] | None = None
        self._owned = ExitStack()
        if processes.is_main():
            # Closed last, because a thread that waits for samples ends only when the engine ends.
            self._thread = self._owned.enter_context(ThreadPoolExecutor(1, "rollouts"))
            engine = open_engine(base, cfg.max_length, cfg.engine, out / "engine.log")
            self._engine = self._owned.enter_context(engine)
            self._sandbox = self._owned.enter_context(Sandbox.of(cfg.sandbox))
            self._sampler = Sampler(self._engine, self._sandbox, chat)
            self._environment = self._owned.enter_context(open_environment(cfg.environment))
            self._player = Player(self._sampler, self._environment, cfg.max_length)
            self._shaper = self._owned.enter_context(Shaper(cfg.reward, self._sandbox))
        main = self._engine if processes.is_main() else None
        self._sync = WeightSync(cfg.engine, main, out / "policy", base)
        self._owned.callback(self._sync.close)

    def __enter__(self) -> RolloutWorker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owned.close()

    def failing(self, read: Sequence[tuple[Row, Problem]], record: Path) -> dict[str, str]:
        """rl.rollouts.reference_check.unfit in this worker's sandbox; process 0 only.

        The sandbox keeps the times that it measures of the solutions.
        """
        problems = [problem for _, problem in read]
        unfit = {p.task_id: reason for p in problems if (reason := self._environment.unfit(p))}
        unfit |= reference_check.too_long(self._chat, problems, self._cfg.max_prompt)
        return reference_check.unfit(read, self._sandbox, record, unfit)

    def sample(self, chosen: Sequence[Problem], step: int) -> list[tuple[Query, Dialogue]]:
        """The episodes that step + 1 trains on, one group for each problem; process 0 only.

        Their seeds depend on (cfg.seed, step, task, number, turn) alone. They are those that
        `sample_ahead` drew, or else are drawn now.
        """
        asked = self._queries(chosen, step)
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == step:
            played = ahead[1].result()
        else:
            played = self._play(asked, step)
        return list(zip(asked, played, strict=True))

    def sample_ahead(self, chosen: Sequence[Problem], step: int) -> None:
        """Begins to play the episodes of a later step, while this process trains; process 0 only.

        They come from the weights that the engine has now.
        """
        self._ahead = step, self._thread.submit(self._play, self._queries(chosen, step), step)

    def has_drawn(self, step: int) -> bool:
        """Whether the episodes of `step` were begun by `sample_ahead`; process 0 only."""
        return self._ahead is not None and self._ahead[0] == step

    def drawn_ahead(self) -> dict[str, Any] | None:
        """What `sample_ahead` drew, as JSON for a checkpoint, or None.

        A resumed run no longer has the weights that drew it.
        """
        if self._ahead is None:
            return None
        step, played = self._ahead
        return {"step": step, "dialogues": [asdict(dialogue) for dialogue in played.result()]}

    def restore(self, ahead: dict[str, Any] | None) -> None:
        """Takes back what `drawn_ahead` gave."""
        if ahead is not None:
            done: Future[list[Dialogue]] = Future()
            done.set_result([Dialogue.of_json(row) for row in ahead["dialogues"]])
            self._ahead = ahead["step"], done

    def judge(self, sampled: Sequence[tuple[Query, Dialogue]]) -> list[Rollout]:
        """The episodes with the sandbox's verdicts and cfg.reward's rewards; process 0 only."""
        asked = [query for query, _ in sampled]
        judged = self._player.judge(asked, [one for _, one in sampled])
        programs = [runnable(r.problem, program_of(r.problem, r.completion)) for r in judged]
        return self._shaper(judged, programs)

    def evaluate(self, heldout: Sequence[Problem], path: Path) -> dict[str, Any]:
        """Scores held-out problems at the training temperature; process 0 only.

        The seeds are the same every time. Writes the evaluation to `path`; returns reward, shares
        and pass_at.
        """
        cfg = self._cfg
        how = AssessSettings(
            samples=cfg.eval_samples,
            temperature=cfg.temperature,
            max_tokens=cfg.max_response,
            max_length=cfg.max_length,
            seed=cfg.seed,
            # As in training, so that the score is of what is trained.
            chat=True,
            environment=cfg.environment,
        )
        result = assess(self._sampler, heldout, how)
        save({"benchmark": "heldout problems", **result}, path)
        return {name: result[name] for name in ("reward", "shares", "pass_at")}

    def sync(self, state: TrainState) -> float:
        """Gives the engine the trainer's weights and proves that it has them; collective.

        The proof is a checksum per tensor, and the largest difference between the log-probabilities
        that engine and trainer give to tokens that the engine samples. Returns that difference.

        Raises:
            SeedbedError: on every process, where a tensor differs or the difference is above
                cfg.logprob_limit. The samples would come from another policy than the one that
                trains on them.
        """
        if self._ahead is not None:
            # The engine answers one request at a time, so it must finish the samples first. An
            # error stays in the future, and `sample` raises it.
            self._ahead[1].exception()
        self._sync.give(state)
        return self._difference(state)

    def parity(self, state: TrainState, folder: Path) -> dict[str, float]:
        """rl.parity.in_run of the weights in `folder`, which both sides have; collective."""
        engine = self._engine if processes.is_main() else None
        probes = self._probes[:PARITY_PROMPTS]
        return in_run.check(state, engine, folder, probes, self._cfg.logprob_limit)

    def _prompt(self, problem: Problem) -> list[int]:
        return chat_prompt(self._chat, problem)

    def _queries(self, chosen: Sequence[Problem], step: int) -> list[Query]:
        samples = self._cfg.stage(step).samples
        return queries(chosen, samples, self._prompt, self._cfg.seed, step)

    def _play(self, asked: Sequence[Query], step: int) -> list[Dialogue]:
        room = self._cfg.stage(step).max_response
        sampling = Sampling(self._cfg.temperature, room, [self._chat.end_id])
        return self._player.play(asked, sampling)

    def _difference(self, state: TrainState) -> float:
        """The largest difference of engine and trainer in a sampled token's log-probability.

        Sampling reads the cache of prefixes, which older weights may have filled; scoring does not.
        """
        cfg = self._cfg
        length = min(PROBE_TOKENS, cfg.max_response)

        def draw() -> list[Sample]:
            seeds = [sample_seed(cfg.seed, "probe", number) for number in range(len(self._probes))]
            return self._engine.generate(self._probes, seeds, Sampling(cfg.temperature, length))

        samples = on_main(draw)
        examples = [
            Example(prompt, sample.tokens, {}, {"theirs": sample.logprobs})
            for prompt, sample in zip(self._probes, samples, strict=True)
        ]
        # Every data-parallel process scores all probes, so that each knows the difference.
        share = ProcessShare.everything(cfg.parallel, self._chat.end_id)
        [batch] = micro_batches(examples, len(examples), share)
        [ours] = token_logprobs(state, [batch], cfg.temperature)
        difference = ((ours.cpu() - batch["theirs"]) * batch["loss_mask"]).abs().max().item()
        if not difference <= cfg.logprob_limit:
            raise SeedbedError(
                f"engine and trainer differ by {difference:.2e} in a token's log-probability after "
                f"{state.step} steps, logprob_limit={cfg.logprob_limit}",
                "give both one dtype (engine.dtype=float32 and dtype=fp32), or raise logprob_limit "
                "to about 0.1 for bf16; "
                f"`python -m rl.check_parity --model {self._out / 'policy'}` names the first layer "
                "that differs",
            )
        return difference
