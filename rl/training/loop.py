"""The training loop under SFT, DPO and GRPO.

The loop starts or resumes a run, counts steps, writes metrics.jsonl, tells the time left, saves
checkpoints and exports the model. What one step does, what its row holds and how it reads on the
screen stand in the program itself (rl/sft.py, rl/dpo.py, rl/grpo.py), which hands them over as
functions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.schema.rl import DpoConfig, GrpoConfig, SftConfig
from megatron_train.checkpoint import hf_export, peft, sharded
from megatron_train.parallel import processes
from megatron_train.training.step import TrainState
from rl.training import resume
from rl.training.export_card import Exported
from seedbed import jsonl

Row = dict[str, Any]


@dataclass(frozen=True)
class Algorithm:
    """What a program does in a step, and what it says of it.

    step: takes one optimizer step and returns its row of metrics.jsonl; collective.
    line: (row, seconds left) -> the line on the screen, "" where the step is not shown.
    extra: what a checkpoint holds beside the state and the identity of the data; collective.
    saved: called after each checkpoint; collective.
    done: whether the run ends before its last step; the same on every process.
    """

    step: Callable[[], Row]
    line: Callable[[Row, float], str]
    extra: Callable[[], Row] = dict
    saved: Callable[[], None] = lambda: None
    done: Callable[[], bool] = lambda: False


class Training:
    """One run of SFT, DPO or GRPO. Every process calls every method; process 0 writes.

    data: identity of everything that decides which samples a step sees.
    """

    def __init__(
        self,
        cfg: SftConfig | DpoConfig | GrpoConfig,
        state: TrainState,
        base: Path,
        out: Path,
        data: str,
    ):
        self._cfg, self.state, self.base, self.out, self._data = cfg, state, base, out, data

    def start_or_resume(self, *journals: str) -> Row:
        """Loads the newest checkpoint, or `base`; the checkpoint's extra, {} where there is none.

        Rows of later steps are dropped from metrics.jsonl and from `journals`. Raises SeedbedError
        for a checkpoint of a run over other data.
        """
        logs = ("metrics.jsonl", *journals)
        return resume.start_or_resume(self.state, self.base, self.out, self._data, self._cfg, logs)

    def run(self, steps: int, algorithm: Algorithm) -> None:
        """Takes the steps that are left until the state has taken `steps` or the algorithm is done.

        Saves a checkpoint every cfg.save_every steps and after the last one.
        """
        state, first, began = self.state, self.state.step, time.perf_counter()
        while state.step < steps and not algorithm.done():
            row = algorithm.step()
            each = (time.perf_counter() - began) / (state.step - first)
            self.log(row, algorithm.line(row, each * (steps - state.step)))
            last = state.step == steps or algorithm.done()
            if last or state.step % self._cfg.save_every == 0:
                extra = {"data": self._data, **algorithm.extra()}
                sharded.save(state, self.out / "checkpoints", extra, self._cfg.keep)
                algorithm.saved()

    def log(self, row: Row, line: str) -> None:
        """Appends a row to metrics.jsonl and prints its line, unless that is empty."""
        if processes.is_main():
            jsonl.append(self.out / "metrics.jsonl", row)
            if line:
                print(line, flush=True)

    def export(self) -> Path:
        """Writes the weights as a Hugging Face folder, with tokenizer, card and checksums.

        Adapters are merged into it, and also written apart, to out/adapter. Collective.
        """
        exported = Exported(self._cfg, self.state, self.base, self.out)
        merged = processes.on_main(exported.card)
        hf_export.export(self.state, self.out / "hf", self.base, card=merged)
        if self.state.lora is not None:
            apart = processes.on_main(lambda: exported.card(adapter=True))
            peft.export(self.state, self.out / "adapter", self.base, apart)
        return self.out / "hf"


def say(line: str) -> None:
    """Prints a line once, whatever the number of processes."""
    if processes.is_main():
        print(line, flush=True)


def minutes(seconds: float) -> str:
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
