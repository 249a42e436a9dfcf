"""What process 0 does beside training: sample with the engine, judge in the sandbox, hand the
engine new weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from conf.errors import SeedbedError
from conf.schema.rl import GrpoConfig
from megatron_train.parallel import processes
from megatron_train.parallel.processes import on_main
from megatron_train.training.step import TrainState, token_logprobs
from rl import evaluate
from rl.parity import in_run
from rl.problems.problem_set import Problem, Row
from rl.rollouts import reference_check, rewards
from rl.rollouts.selection import Rollout
from rl.training.batches import Example, micro_batches
from rl.weight_sync.sync import WeightSync, open_engine
from seedbed.inference.chat import Chat
from seedbed.inference.engine import Sample, Sampling, sample_seed
from seedbed.sandbox import Sandbox

# prompts that the engine continues after every sync; the trainer must agree on what that was worth
PROBES = 8
PROBE_TOKENS = 16
# transformers scores one at a time
CONTRACT_PROMPTS = 3


class Actor:
    """Engine and sandbox on process 0; on the others a stand-in that takes part in `sync` alone.

    The engine starts loading `base` at once, so that its start and the trainer's overlap.
    """

    def __init__(
        self, cfg: GrpoConfig, base: Path, chat: Chat, probes: Sequence[Problem], out: Path
    ):
        self._cfg, self.base, self._chat, self._out = cfg, base, chat, out
        self._probes = [self._prompt(problem) for problem in probes[:PROBES]]
        # (step, samples) that are being drawn
        self._ahead: tuple[int, Future[list[Sample]]] | None = None
        self._owned = ExitStack()
        if processes.is_main():
            # Left last: the engine's end is what ends a thread that waits for samples.
            self._thread = self._owned.enter_context(ThreadPoolExecutor(1, "rollouts"))
            engine = open_engine(base, cfg.max_length, cfg.engine, out / "engine.log")
            self._engine = self._owned.enter_context(engine)
            self._sandbox = self._owned.enter_context(Sandbox(workers=cfg.sandbox.workers or None))
        main = self._engine if processes.is_main() else None
        self._sync = WeightSync(cfg.engine, main, out / "policy", base)
        self._owned.callback(self._sync.close)

    def __enter__(self) -> Actor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owned.close()

    def sample(
        self, chosen: Sequence[Problem], step: int
    ) -> list[tuple[Problem, list[int], Sample]]:
        """The responses that step + 1 trains on, a group for each problem, from seeds of (cfg.seed,
        step, task, number): those that were drawn ahead, else drawn now. Process 0 only.
        """
        ahead = self._ahead is not None and self._ahead[0] == step
        samples = self._ahead[1].result() if ahead else self._draw(chosen, step)  # type: ignore[index]
        self._ahead = None
        number = self._cfg.stage(step).samples
        each = [(problem, self._prompt(problem)) for problem in chosen for _ in range(number)]
        return [
            (problem, prompt, sample)
            for (problem, prompt), sample in zip(each, samples, strict=True)
        ]

    def sample_ahead(self, chosen: Sequence[Problem], step: int) -> None:
        """Begin to draw those of a later step, from the weights that the engine has now, while this
        process trains.
        """
        self._ahead = step, self._thread.submit(self._draw, chosen, step)

    def drawn_ahead(self) -> dict[str, Any] | None:
        """What sample_ahead drew, as JSON for a checkpoint: the weights that drew it are gone when
        a run is continued.
        """
        if self._ahead is None:
            return None
        step, samples = self._ahead
        return {"step": step, "samples": [asdict(sample) for sample in samples.result()]}

    def restore(self, ahead: dict[str, Any] | None) -> None:
        """Take back what drawn_ahead gave."""
        if ahead is not None:
            done: Future[list[Sample]] = Future()
            done.set_result([Sample(**sample) for sample in ahead["samples"]])
            self._ahead = ahead["step"], done

    def _draw(self, chosen: Sequence[Problem], step: int) -> list[Sample]:
        stage = self._cfg.stage(step)
        each = [(problem, number) for problem in chosen for number in range(stage.samples)]
        seeds = [
            sample_seed(self._cfg.seed, step, problem.task_id, number) for problem, number in each
        ]
        prompts = [self._prompt(problem) for problem, _ in each]
        sampling = Sampling(self._cfg.temperature, stage.max_response, [self._chat.end_id])
        return self._engine.generate(prompts, seeds, sampling)

    def unfit(self, read: Sequence[tuple[Row, Problem]], record: Path) -> dict[str, str]:
        """rl/rollouts/reference_check.py's, in this sandbox, which keeps what it measures of the
        solutions. Process 0 only.
        """
        return reference_check.unfit(read, self._sandbox, record)

    def judge(self, sampled: Sequence[tuple[Problem, list[int], Sample]]) -> list[Rollout]:
        """The samples with the sandbox's verdicts. Process 0 only."""
        texts = [self._chat.decode(sample.tokens) for *_, sample in sampled]
        programs = [rewards.extract_program(text) for text in texts]
        judged = rewards.score(self._sandbox, [problem for problem, *_ in sampled], programs)
        return [
            Rollout(*s, text, reward)
            for s, text, reward in zip(sampled, texts, judged, strict=True)
        ]

    def evaluate(self, heldout: Sequence[Problem], path: Path) -> dict[str, Any]:
        """Held-out problems at the training temperature, with the same seeds every time; written to
        `path`. Process 0 only.
        """
        cfg = self._cfg
        result = evaluate.assess(
            engine=self._engine,
            sandbox=self._sandbox,
            chat=self._chat,
            chosen=heldout,
            samples=cfg.eval_samples,
            temperature=cfg.temperature,
            max_tokens=cfg.max_response,
            max_length=cfg.max_length,
            seed=cfg.seed,
        )
        evaluate.save({"benchmark": "heldout problems", **result}, path)
        return {name: result[name] for name in ("reward", "shares", "pass_at")}

    def sync(self, state: TrainState) -> float:
        """Give the engine the trainer's weights and prove it: by a checksum a tensor, and by the
        largest difference between what the engine says of tokens that it samples and what the
        trainer says of them.

        Collective. Raises SeedbedError on every process when a tensor is another or the difference
        is above cfg.logprob_limit: samples would come from another policy than the one that trains
        on them.
        """
        if self._ahead is not None:
            self._ahead[
                1
                # the engine answers one request at a time; a fault is raised by who asks for the
                # samples
            ].exception()
        self._sync.give(state)
        return self._agreement(state)

    def contract(self, state: TrainState, folder: Path) -> dict[str, float]:
        """rl/parity/in_run.py for the weights in `folder`, which trainer and engine have;
        collective.
        """
        engine = self._engine if processes.is_main() else None
        return in_run.hold(
            state, engine, folder, self._probes[:CONTRACT_PROMPTS], self._cfg.logprob_limit
        )

    def _agreement(self, state: TrainState) -> float:
        """Of sampled tokens, since sampling, unlike scoring, reads the cache of prefixes that older
        weights may have filled.
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
        # Every data-parallel process scores the same probes: process 0 then has them whichever
        # share it trains on.
        [batch] = micro_batches(
            examples, len(examples), 0, 1, self._chat.end_id, cfg.parallel.sequence_multiple()
        )
        [ours] = token_logprobs(state, [batch], cfg.temperature)
        difference = ((ours.cpu() - batch["theirs"]) * batch["loss_mask"]).abs().max().item()
        if not difference <= cfg.logprob_limit:
            raise SeedbedError(
                f"engine and trainer differ by {difference:.2e} in a token's log-probability after {state.step} steps, "
                f"logprob_limit={cfg.logprob_limit}",
                "give both one dtype (engine.dtype=float32 and dtype=fp32), or raise logprob_limit to about 0.1 for bf16; "
                f"`python -m rl.check_parity --model {self._out / 'policy'}` names the first layer that differs",
            )
        return difference

    def _prompt(self, problem: Problem) -> list[int]:
        ids = self._chat.prompt(problem.prompt)
        if len(ids) > self._cfg.max_prompt:
            raise SeedbedError(
                f"the prompt of {problem.task_id} has {len(ids)} tokens, max_prompt={self._cfg.max_prompt}",
                "raise max_prompt or leave the problem out",
            )
        return ids
