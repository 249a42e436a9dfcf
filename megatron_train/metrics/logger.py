"""What a run says while it runs: rows of metrics.jsonl, lines, trackers, and slow processes."""

from __future__ import annotations

import math
import socket
import time
from pathlib import Path
from typing import Any

from conf.schema.pretrain import PretrainConfig
from megatron_train.data.blend import Blend
from megatron_train.data.segments import Draw
from megatron_train.metrics import metrics_file, stragglers
from megatron_train.metrics.metrics_file import RunFacts, StepRecord
from megatron_train.metrics.trackers import open_tracker
from megatron_train.parallel import costs, processes
from megatron_train.training.evaluation import Evaluation
from megatron_train.training.state import BadStep, StepResult, TrainState
from seedbed import jsonl


class TrainLogger:
    """Times each step and writes what became of it.

    Every process calls every method, in this order for each step: begins, data_is_read, ends, then
    accepted, refused or rewound. Process 0 writes.
    """

    def __init__(self, cfg: PretrainConfig, out: Path, train: Blend, state: TrainState):
        self._cfg, self._out, self._state = cfg, out, state
        self._tracker = open_tracker(cfg.tracker, out, processes.is_main())
        self._run = RunFacts(
            sources=train.names,
            seq_length=cfg.model.seq_length,
            flops_per_token=sum(costs.flops_per_token(cfg.model, state.vocab_size)),
            world=processes.world(),
        )
        self._first, self._opened = state.step, time.perf_counter()
        self._began = self._read = self._ended = 0.0
        self._host = socket.gethostname()

    def begins(self) -> None:
        every = self._cfg.straggler_every
        self._state.reduction.exact = bool(every) and (self._state.step + 1) % every == 0
        self._began = time.perf_counter()

    def data_is_read(self) -> None:
        self._read = time.perf_counter()

    def ends(self) -> None:
        self._ended = time.perf_counter()

    def accepted(
        self,
        result: StepResult,
        lr: float,
        draw: Draw,
        cosines: dict[str, float] | None = None,
        evaluation: Evaluation | None = None,
    ) -> None:
        """The step was taken; collective where slow processes are looked for.

        cosines are the FP8 guard's. evaluation is there where the run was evaluated after the step.
        """
        if self._state.reduction.exact:
            self._report_stragglers(self._state.reduction.began - self._read)
        if not processes.is_main():
            return
        step, cfg = self._state.step, self._cfg
        seconds, wait = self._ended - self._began, self._read - self._began
        record = StepRecord(step, result, lr, draw, cosines, seconds, wait)
        row = metrics_file.row(record, self._run, evaluation)
        self._write(row)
        if step % cfg.log_every == 0 or evaluation is not None:
            each = (time.perf_counter() - self._opened) / (step - self._first)
            eta = each * (cfg.schedule.steps - step)
            print(metrics_file.line(row, cfg.schedule.steps, eta), flush=True)

    def refused(self, bad: BadStep, lr: float, draw: Draw) -> None:
        """The step was skipped: its number and its samples count, its update does not."""
        if processes.is_main():
            row = {
                "step": self._state.step,
                "loss": bad.value if math.isfinite(bad.value) else None,
                "val_loss": None,
                "lr": lr,
                "refused": bad.problem,
                "first_sample": draw.first,
                "batch": draw.count,
                "segment": draw.segment,
            }
            self._write(row)
            print(
                f"step {self._state.step}/{self._cfg.schedule.steps}  SKIPPED: {bad.problem}",
                flush=True,
            )

    def rewound(self, bad: BadStep, at: int, skipped: int) -> None:
        """The run went back from step `at` to the state's step."""
        self._first = min(self._first, self._state.step)
        if processes.is_main():
            metrics_file.keep_up_to(self._out / "metrics.jsonl", self._state.step)
            print(
                f"REWOUND from step {at + 1} to step {self._state.step}: {bad.problem}; "
                f"the samples since then are left out, {skipped} in all",
                flush=True,
            )

    def close(self) -> None:
        self._tracker.close()

    def _write(self, row: dict[str, Any]) -> None:
        jsonl.append(self._out / "metrics.jsonl", row)
        self._tracker.log(row)

    def _report_stragglers(self, until_ready: float) -> None:
        seen = processes.gather_object((until_ready, self._host))
        if not processes.is_main():
            return
        seconds, hosts = [one for one, _ in seen], [host for _, host in seen]
        row = {"step": self._state.step, "seconds": seconds, "hosts": hosts}
        jsonl.append(self._out / "stragglers.jsonl", row)
        said = stragglers.report(seconds, hosts)
        if said:
            print(said, flush=True)
