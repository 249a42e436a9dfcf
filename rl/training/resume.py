"""How SFT and GRPO start: from a Hugging Face folder, or from where an earlier, killed run had got
to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.loader import to_yaml
from megatron_train.checkpoint import hf, sharded
from megatron_train.metrics import metrics_file
from megatron_train.parallel import processes
from megatron_train.training.step import TrainState


def start_or_resume(
    state: TrainState, base: Path, out: Path, data: str, cfg: Any, logs: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Load the newest checkpoint under out/checkpoints, or the weights of `base` where there is
    none; collective. Returns the checkpoint's `extra`, {} where there is none.

    data: identity of everything that decides which samples a step sees; checkpoints carry it in
    extra["data"], and one with another is refused with a SeedbedError. Rows that metrics.jsonl and
    `logs` hold of later steps are dropped, as they come again.
    """
    newest, extra = sharded.latest(out / "checkpoints"), {}
    if newest is None:
        hf.load_weights(state, base)
    else:
        extra = sharded.read_manifest(newest)["extra"]
        theirs = extra["data"]
        if theirs != data:
            raise SeedbedError(
                f"{newest} belongs to a run over other data: its settings hash to {theirs}, these to {data}",
                f"restore the settings in {out / 'config.yaml'}, or remove {out} to start anew",
            )
        sharded.load(state, newest)
    if processes.is_main():
        out.mkdir(parents=True, exist_ok=True)
        for log in ("metrics.jsonl", *logs):
            # GRPO's row 0 comes again as well
            metrics_file.keep_up_to(out / log, -1 if newest is None else state.step)
        (out / "config.yaml").write_text(to_yaml(cfg))
    return extra
