"""On-policy preference pairs for DPO: sample the model, judge in the sandbox, keep all on disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from conf.errors import SeedbedError
from conf.schema.rl import DpoConfig
from rl.problems.problem_set import Problem
from rl.rollouts import pairs
from rl.rollouts.sampler import Sampler, chat_prompt, judged_row, queries, token_row
from rl.training.run_tables import StageTables
from rl.weight_sync import sync
from seedbed import jsonl
from seedbed.inference.chat import Chat
from seedbed.inference.engine import Sampling
from seedbed.sandbox import Sandbox

Row = dict[str, Any]


@dataclass(frozen=True)
class SamplesRecord:
    """Where samples and pairs are written: a folder and the run's tables.

    data: identity of all settings that decide the pairs.
    """

    out: Path
    data: str
    tables: StageTables


class PairSampler:
    """Writes samples.jsonl, one group of problems at a time, and at the end pairs.jsonl.

    The work is that of process 0 and is done by `advance`. It is cut into groups because the other
    processes wait meanwhile, at most as long as a collective's timeout. Samples depend on (seed,
    task, number) alone, so what a kill lost is drawn again.
    """

    def __init__(
        self,
        cfg: DpoConfig,
        base: Path,
        chat: Chat,
        train: Sequence[tuple[Row, Problem]],
        record: SamplesRecord,
    ):
        self._cfg, self._base, self._chat = cfg, base, chat
        self._read, self._train = train, [problem for _, problem in train]
        self._out, self._data, self._tables = record.out, record.data, record.tables
        self._rows: list[Row] | None = None
        self._owned = ExitStack()

    def __enter__(self) -> PairSampler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._owned.close()

    def advance(self) -> bool:
        """Does one part of the work; False once pairs.jsonl is there.

        Raises:
            SeedbedError: for a folder that holds another run's samples, and where no problem has
                both a passing and a failing sample.
        """
        if self._rows is None:
            self._claim_folder()
            self._rows = self._whole_groups()
            # A kill may have come between the journal and the table.
            self._tables.samples(self._rows)
            if (self._out / "pairs.jsonl").is_file():
                self._tables.pairs(jsonl.rows(self._out / "pairs.jsonl"))
                return False
            if len(self._rows) < len(self._train) * self._cfg.samples:
                self._sampler = self._open_sampler()
        done = len(self._rows) // self._cfg.samples
        if done == len(self._train):
            self._save_pairs(self._rows)
            return False
        fresh = self._sample(self._train[done : done + self._cfg.prompts])
        jsonl.append(self._out / "samples.jsonl", *fresh)
        self._rows += fresh
        self._tables.samples(self._rows)
        share = sum(row["verdict"] == "pass" for row in self._rows) / len(self._rows)
        done = len(self._rows) // self._cfg.samples
        print(f"{done}/{len(self._train)} problems sampled, {share:.0%} pass", flush=True)
        return True

    def _claim_folder(self) -> None:
        stamp = self._out / "samples.hash"
        if stamp.is_file() and stamp.read_text() != self._data:
            raise SeedbedError(
                f"{self._out} holds samples of other settings: they hash to {stamp.read_text()}, "
                f"these to {self._data}",
                f"restore the settings in {self._out / 'config.yaml'}, or remove {self._out} "
                "to start anew",
            )
        self._out.mkdir(parents=True, exist_ok=True)
        if not stamp.is_file():
            self._tables.begin("problems", "rollouts", "pairs")
        self._tables.problems({"train": self._read})
        stamp.write_text(self._data)

    def _whole_groups(self) -> list[Row]:
        """Keeps the rows of whole groups that an earlier run left, and returns them.

        A kill may have cut the last group, or the last line.
        """
        path, samples = self._out / "samples.jsonl", self._cfg.samples
        rows = jsonl.whole_rows(path)
        rows = rows[: len(rows) // samples * samples]
        jsonl.write(path, rows)
        return rows

    def _open_sampler(self) -> Sampler:
        cfg = self._cfg
        log = self._out / "engine.log"
        engine = sync.open_engine(self._base, cfg.max_length, cfg.engine, log)
        self._owned.enter_context(engine)
        # A server may hold any weights; it must sample the model that training starts from.
        if cfg.engine.url:
            sums = sync.sums_of_folder(self._base, cfg.engine.dtype)
            sync.give_folder(engine, self._base, sums)
        sandbox = self._owned.enter_context(Sandbox.of(cfg.sandbox))
        return Sampler(engine, sandbox, self._chat)

    def _sample(self, some: Sequence[Problem]) -> list[Row]:
        """cfg.samples judged samples of each problem, in order."""
        cfg = self._cfg

        def prompt(problem: Problem) -> list[int]:
            return chat_prompt(self._chat, problem)

        asked = queries(some, cfg.samples, prompt, cfg.seed)
        sampling = Sampling(cfg.temperature, cfg.max_response, [self._chat.end_id])
        judged = self._sampler.judge(asked, self._sampler.draw(asked, sampling))
        return [judged_row(rollout) | token_row(rollout) for rollout in judged]

    def _save_pairs(self, rows: Sequence[Row]) -> None:
        cfg = self._cfg
        groups = [rows[i : i + cfg.samples] for i in range(0, len(rows), cfg.samples)]
        chosen = [
            pair
            for group in groups
            for pair in pairs.choose(group, cfg.pairs_per_problem, cfg.seed)
        ]
        if not chosen:
            passing = sum(row["verdict"] == "pass" for row in rows)
            raise SeedbedError(
                f"no problem has both a passing and a failing sample: {passing} of {len(rows)} "
                "samples pass",
                "raise samples or temperature, or give problems that the model solves sometimes",
            )
        jsonl.write(self._out / "pairs.jsonl", chosen)
        self._tables.pairs(chosen)
