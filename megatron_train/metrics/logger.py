"""What a run says while it runs: a line and a row of metrics.jsonl a step, validation, trackers,
and who is slow.
"""

from __future__ import annotations

import json
import math
import socket
import time
from pathlib import Path
from typing import Any

from conf.schema.pretrain import PretrainConfig
from megatron_train.data.blend import Blend, bytes_of_labels, means_by_source
from megatron_train.metrics import metrics_file
from megatron_train.metrics.trackers import open_tracker
from megatron_train.parallel import costs, processes
from megatron_train.training.step import (
    BadStep,
    Batch,
    StepResult,
    TrainState,
    eval_loss,
    language_model_loss,
)


class RunLog:
    """Every process calls every method; process 0 writes.

    validation: micro-batches of every source's val split, or {}.
    """

    def __init__(
        self,
        cfg: PretrainConfig,
        out: Path,
        train: Blend,
        state: TrainState,
        validation: dict[str, list[Batch]],
    ):
        self._cfg, self._out, self._train, self._state, self._validation = (
            cfg,
            out,
            train,
            state,
            validation,
        )
        self._tracker = open_tracker(cfg.tracker, out, processes.is_main())
        self._flops = sum(costs.flops_per_token(cfg.model, state.vocab_size))
        self._batch_tokens = cfg.batch.total * cfg.model.seq_length
        self._first, self._began = state.step, time.perf_counter()
        self._started = self._there = 0.0
        self._host = socket.gethostname()

    def begin(self) -> None:
        every = self._cfg.straggler_every
        self._state.reduction.exact = bool(every) and (self._state.step + 1) % every == 0
        self._started = time.perf_counter()

    def data_is_there(self) -> None:
        self._there = time.perf_counter()

    def step(
        self,
        result: StepResult,
        lr: float,
        first_sample: int,
        cosines: dict[str, float] | None,
        evaluate: bool,
    ) -> None:
        """A step has just been taken; cosines are the FP8 guard's.

        Collective where it evaluates or reports stragglers.
        """
        ended = time.perf_counter()
        step, cfg = self._state.step, self._cfg
        val_losses = {}
        if evaluate:
            held = self._validation.items()
            val_losses = {
                name: eval_loss(self._state, batches, language_model_loss).loss
                for name, batches in held
            }
        if self._state.reduction.exact:
            self._report_stragglers(self._state.reduction.began - self._there)
        if not processes.is_main():
            return
        val_loss = self._train.weighted_mean(val_losses) if val_losses else None
        row = metrics_file.row_of(
            step,
            result,
            val_loss,
            cosines,
            lr,
            step * self._batch_tokens,
            self._batch_tokens,
            ended - self._started,
            self._there - self._started,
            self._flops,
            processes.world(),
        )
        row["first_sample"] = first_sample
        if val_losses:
            row["val_bits_per_byte"] = self._bits_per_byte(val_losses)
        if len(self._train.names) > 1:
            row |= {"sources": means_by_source(result.metrics), "val_losses": val_losses}
        self._write(row)
        if step % cfg.log_every == 0 or val_loss is not None:
            each = (time.perf_counter() - self._began) / (step - self._first)
            print(
                metrics_file.line_of(row, cfg.schedule.steps, each * (cfg.schedule.steps - step)),
                flush=True,
            )

    def refused(self, bad: BadStep, lr: float, first_sample: int) -> None:
        """The step was skipped: its number and its samples count, its update does not."""
        if processes.is_main():
            value = bad.value if math.isfinite(bad.value) else None
            row = {
                "step": self._state.step,
                "loss": value,
                "val_loss": None,
                "lr": lr,
                "refused": bad.problem,
            }
            self._write({**row, "first_sample": first_sample})
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
                f"REWOUND from step {at + 1} to step {self._state.step}: {bad.problem}; the samples since then are left out, "
                f"{skipped} in all",
                flush=True,
            )

    def close(self) -> None:
        self._tracker.close()

    def _write(self, row: dict[str, Any]) -> None:
        metrics_file.append(self._out / "metrics.jsonl", row)
        self._tracker.log(row)

    def _bits_per_byte(self, losses: dict[str, float]) -> float:
        """Of all sources' validation text, each token's loss over its bytes: comparable between
        tokenizers.
        """
        nats = size = 0.0
        for (name, batches), corpus in zip(
            self._validation.items(), self._train.corpora, strict=True
        ):
            nats += losses[name] * float(sum(batch["loss_mask"].sum() for batch in batches))
            size += bytes_of_labels(batches, corpus.manifest)
        return nats / math.log(2) / size

    def _report_stragglers(self, until_ready: float) -> None:
        seen = processes.gather_object((until_ready, self._host))
        if not processes.is_main():
            return
        seconds, hosts = [one for one, _ in seen], [host for _, host in seen]
        with (self._out / "stragglers.jsonl").open("a") as file:
            file.write(
                json.dumps({"step": self._state.step, "seconds": seconds, "hosts": hosts}) + "\n"
            )
        said = metrics_file.straggler_report(seconds, hosts)
        if said:
            print(said, flush=True)
