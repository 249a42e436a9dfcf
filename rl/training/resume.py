"""How SFT, DPO and GRPO start: from a Hugging Face folder, or where a killed run had got to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conf.errors import SeedbedError
from conf.loader import to_yaml
from conf.schema.pretrain import ModelConfig
from conf.schema.rl import DpoConfig, GrpoConfig
from megatron_train.checkpoint import hf_parity, sharded
from megatron_train.parallel import processes
from megatron_train.training.step import TrainState
from seedbed import jsonl
from seedbed.files import write_whole


def start_or_resume(
    state: TrainState, base: Path, out: Path, data: str, cfg: Any, logs: tuple[str, ...]
) -> dict[str, Any]:
    """Loads the newest checkpoint under out/checkpoints, or else the weights of `base`; collective.

    Returns the checkpoint's `extra`, {} where there is none. Of the JSON-lines files `logs` the
    rows of later steps are dropped, because those steps are taken again. Writes out/config.yaml.

    data: identity of everything that decides which samples a step sees. Checkpoints carry it in
    extra["data"].

    Raises:
        SeedbedError: for a checkpoint that carries another identity.
    """
    newest, extra = sharded.latest(out / "checkpoints"), {}
    if newest is None:
        hf_parity.begin_from(state, base)
    else:
        extra = sharded.read_manifest(newest)["extra"]
        theirs = extra["data"]
        if theirs != data:
            raise SeedbedError(
                f"{newest} belongs to a run over other data: its settings hash to {theirs}, "
                f"these to {data}",
                f"restore the settings in {out / 'config.yaml'}, or remove {out} to start anew",
            )
        sharded.load(state, newest)
    if processes.is_main():
        # GRPO's row 0, the reward before training, is also written again by a run without a
        # checkpoint.
        last = -1 if newest is None else state.step
        for log in logs:
            jsonl.keep(out / log, lambda row: row["step"] <= last)
        write_whole(out / "config.yaml", to_yaml(cfg))
    return extra


def require_length(cfg: DpoConfig | GrpoConfig, model: ModelConfig, base: Path) -> None:
    """Raises SeedbedError where prompt and response are longer than the sequences of `base`."""
    if cfg.max_length > model.seq_length:
        raise SeedbedError(
            f"{_length(cfg)} tokens, but {base} was trained on sequences of {model.seq_length}",
            "lower max_prompt, max_response or environment.max_context",
        )


def _length(cfg: DpoConfig | GrpoConfig) -> str:
    if isinstance(cfg, GrpoConfig) and cfg.max_length > cfg.first_turn:
        return f"environment.max_context={cfg.max_length}"
    return f"max_prompt + max_response = {cfg.max_prompt} + {cfg.max_response} = {cfg.max_length}"
