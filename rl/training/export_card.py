"""The model card of what SFT, DPO and GRPO export."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from conf.loader import config_hash, to_yaml
from conf.schema.rl import DpoConfig, GrpoConfig, SftConfig
from megatron_train.checkpoint import peft
from megatron_train.checkpoint.hf_side_files import SUMS, sha256_of
from megatron_train.checkpoint.step_folders import read_manifest
from megatron_train.export.model_card import Card, made_with
from megatron_train.metrics.metrics_file import row_of
from megatron_train.metrics.trackers import numbers
from megatron_train.training.step import TrainState
from seedbed.tables.opening import open_table

# The tables that post-training writes (rl/training/run_tables.py).
_TABLES = ("problems", "rollouts", "pairs")
_NO_FIGURES = ("step", "seconds")


@dataclass(frozen=True)
class Exported:
    """What is exported: the settings of the run, its state, and the folders around it.

    base: the folder whose weights the run began with. out: DIR/rl/STAGE.
    """

    cfg: SftConfig | DpoConfig | GrpoConfig
    state: TrainState
    base: Path
    out: Path

    def card(self, adapter: bool = False) -> str:
        """The text of the card. adapter: of the adapters alone, and not of the merged model.

        Figures are those of the last step in metrics.jsonl. Process 0 only: it reads all weights of
        the base, unless SHA256SUMS names them.
        """
        state, stage = self.state, self.out.name
        found = read_manifest(self.out / "checkpoints")
        parameters = state.model.parameters(state.vocab_size)
        lora = state.lora
        what = (
            f"Adapters of rank {lora.rank} and alpha {lora.alpha:g} on {', '.join(lora.layers)}"
            if adapter and lora
            else f"{parameters / 1e6:,.2f} M parameters"
        )
        row = numbers(row_of(self.out / "metrics.jsonl", state.step))
        return Card(
            title=f"{self.out.resolve().parents[1].name}, {stage}, step {state.step:,}",
            opening=(
                f"{what}, trained in {state.dtype} by rl.{stage}; context of "
                f"{state.model.seq_length:,} tokens. `generate` stops where the chat template ends "
                "a turn."
            ),
            lineage=[
                f"- checkpoint: `{Path(found['folder']).name}` of `{self.out}`",
                f"- settings: hash `{config_hash(self.cfg)}`, below in full",
                f"- samples: hash `{found['extra'].get('data')}`",
                f"- base: `{peft.hub_name(self.base) or self.base}`, {identity(self.base)}",
                *self._tables(),
                *made_with(found),
            ],
            step=state.step,
            figures={name: value for name, value in row.items() if name not in _NO_FIGURES},
            settings=to_yaml(self.cfg),
            hub_base=peft.hub_name(self.base),
            adapter=adapter,
        ).text()

    def _tables(self) -> list[str]:
        lines = []
        for name in _TABLES:
            path = Path(self.cfg.output) / "tables" / name
            table = open_table(path)
            if table is not None:
                lines.append(f"- table: {name}@{table.version()}")
        return lines


def identity(base: Path) -> str:
    """The SHA-256 of SHA256SUMS where a folder has it, and else of the sums of its weights."""
    sums = base / SUMS
    if sums.is_file():
        return f"whose {SUMS} has the SHA-256 `{sha256_of(sums)}`"
    files = sorted(base.glob("*.safetensors"))
    lines = "".join(f"{sha256_of(path)}  {path.name}\n" for path in files)
    return f"`sha256sum *.safetensors | sha256sum` `{hashlib.sha256(lines.encode()).hexdigest()}`"
