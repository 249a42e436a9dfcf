"""On-policy preference pairs: sample the model, judge in the sandbox, keep every sample and every
pair on disk.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from conf.errors import SeedbedError
from conf.schema.rl import DpoConfig
from rl.problems import problem_set
from rl.problems.problem_set import Problem
from rl.rollouts import pairs, rewards
from rl.training.run_tables import RunLog
from rl.weight_sync import sync
from seedbed import jsonl
from seedbed.inference.chat import Chat
from seedbed.inference.engine import Sampling, sample_seed
from seedbed.sandbox import Sandbox

Row = dict[str, Any]


class PairMaker:
    """Writes samples.jsonl, a group of problems at a time, and at the end pairs.jsonl, and lets the
    run's tables follow. Process 0's work, done by `advance`.

    In groups, because the other processes wait meanwhile, and no longer than a collective's
    timeout. Samples depend on (seed, task, number) alone, so what a kill lost comes again. `data`
    is the identity of all settings that decide the pairs.
    """

    def __init__(
        self,
        cfg: DpoConfig,
        base: Path,
        chat: Chat,
        train: Sequence[tuple[Row, Problem]],
        out: Path,
        data: str,
        log: RunLog,
    ):
        self._cfg, self._base, self._chat, self._out, self._data, self._log = (
            cfg,
            base,
            chat,
            out,
            data,
            log,
        )
        self._read, self._train = train, [problem for _, problem in train]
        self._rows: list[Row] | None = None
        self._owned = ExitStack()

    def __enter__(self) -> PairMaker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owned.close()

    def advance(self) -> bool:
        """Do one part of the work; False when pairs.jsonl is there.

        Raises SeedbedError for a folder that holds another run's samples, for a prompt that is too
        long, and when no problem has both a passing and a failing sample.
        """
        if self._rows is None:
            self._claim_folder()
            self._rows = self._whole_groups()
            # what a kill kept from the table
            self._log.samples(self._rows)
            if (self._out / "pairs.jsonl").is_file():
                self._log.pairs(jsonl.rows(self._out / "pairs.jsonl"))
                return False
            if len(self._rows) < len(self._train) * self._cfg.samples:
                cfg = self._cfg
                engine = sync.open_engine(
                    self._base, cfg.max_length, cfg.engine, self._out / "engine.log"
                )
                self._engine = self._owned.enter_context(engine)
                # whatever a server holds, it is to sample the model that training starts from
                if cfg.engine.url:
                    sums = sync.sums_of_folder(self._base, cfg.engine.dtype)
                    sync.give_folder(engine, self._base, sums)
                self._sandbox = self._owned.enter_context(
                    Sandbox(workers=self._cfg.sandbox.workers or None)
                )
        done = len(self._rows) // self._cfg.samples
        if done == len(self._train):
            self._save_pairs()
            return False
        fresh = self._sample(self._train[done : done + self._cfg.prompts])
        with (self._out / "samples.jsonl").open("a") as file:
            file.write("".join(json.dumps(row) + "\n" for row in fresh))
        self._rows += fresh
        self._log.samples(self._rows)
        share = sum(row["verdict"] == "pass" for row in self._rows) / len(self._rows)
        print(
            f"{len(self._rows) // self._cfg.samples}/{len(self._train)} problems sampled, {share:.0%} pass",
            flush=True,
        )
        return True

    def _claim_folder(self) -> None:
        stamp = self._out / "samples.hash"
        if stamp.is_file() and stamp.read_text() != self._data:
            raise SeedbedError(
                f"{self._out} holds samples of other settings: they hash to {stamp.read_text()}, these to {self._data}",
                f"restore the settings in {self._out / 'config.yaml'}, or remove {self._out} to start anew",
            )
        self._out.mkdir(parents=True, exist_ok=True)
        if not stamp.is_file():
            self._log.begin("problems", "rollouts", "pairs")
        self._log.problems({"train": self._read})
        stamp.write_text(self._data)

    def _whole_groups(self) -> list[Row]:
        """The rows of whole groups that an earlier run left; a kill may have cut the last group, or
        the last line.
        """
        path, samples = self._out / "samples.jsonl", self._cfg.samples
        rows: list[Row] = []
        for line in path.read_text().splitlines() if path.is_file() else ():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        rows = rows[: len(rows) // samples * samples]
        problem_set.save(rows, path)
        return rows

    def _sample(self, some: Sequence[Problem]) -> list[Row]:
        """cfg.samples judged samples of each problem, in order."""
        cfg = self._cfg
        each = [(problem, number) for problem in some for number in range(cfg.samples)]
        prompts = {problem.task_id: self._chat.prompt(problem.prompt) for problem in some}
        for task, ids in prompts.items():
            if len(ids) > cfg.max_prompt:
                raise SeedbedError(
                    f"the prompt of {task} has {len(ids)} tokens, max_prompt={cfg.max_prompt}",
                    "raise max_prompt or leave the problem out",
                )
        seeds = [sample_seed(cfg.seed, problem.task_id, number) for problem, number in each]
        asked = [prompts[problem.task_id] for problem, _ in each]
        drawn = self._engine.generate(
            asked, seeds, Sampling(cfg.temperature, cfg.max_response, [self._chat.end_id])
        )
        texts = [self._chat.decode(sample.tokens) for sample in drawn]
        programs = [rewards.extract_program(text) for text in texts]
        judged = rewards.score(self._sandbox, [problem for problem, _ in each], programs)
        return [
            {
                "task_id": problem.task_id,
                "prompt": problem.prompt,
                "completion": text,
                "verdict": reward.verdict,
                "reason": reward.reason,
                "finished": sample.finished,
                "prompt_tokens": prompts[problem.task_id],
                "tokens": sample.tokens,
                "logprobs": [round(value, 6) for value in sample.logprobs],
            }
            for (problem, _), sample, text, reward in zip(each, drawn, texts, judged, strict=True)
        ]

    def _save_pairs(self) -> None:
        rows, samples = self._rows or [], self._cfg.samples
        groups = [rows[i : i + samples] for i in range(0, len(rows), samples)]
        chosen = [
            pair
            for g in groups
            for pair in pairs.choose(g, self._cfg.pairs_per_problem, self._cfg.seed)
        ]
        if not chosen:
            passing = sum(row["verdict"] == "pass" for row in rows)
            raise SeedbedError(
                f"no problem has both a passing and a failing sample: {passing} of {len(rows)} samples pass",
                "raise samples or temperature, or give problems that the model solves sometimes",
            )
        problem_set.save(chosen, self._out / "pairs.jsonl")
        self._log.pairs(chosen)
