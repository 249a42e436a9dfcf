"""README.md of an exported model: what it is, and what it was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.loader import to_yaml
from conf.schema.pretrain import PretrainConfig
from megatron_train.data.manifest import Manifest
from megatron_train.metrics.metrics_file import row_of

_FIGURES = ("loss", "val_loss", "val_bits_per_byte", "tokens", "lr")
_USE = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = AutoModelForCausalLM.from_pretrained(FOLDER)
```"""
_USE_ADAPTER = """```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), FOLDER)
model.generation_config = GenerationConfig.from_pretrained(FOLDER)
```

PEFT itself reads where to stop from the base. The last line takes it from here."""
_SUMS = "`sha256sum --check SHA256SUMS` says whether the files are those that were written."


@dataclass(frozen=True)
class Card:
    """The parts of a model card.

    lineage: lines of Markdown, a list and perhaps tables. figures: those of `step`. settings: YAML.
    hub_base: the name of the base on the Hub, "" where there is none. adapter: the folder holds
    adapters alone.
    """

    title: str
    opening: str
    lineage: Sequence[str]
    step: int
    figures: Mapping[str, Any]
    settings: str
    hub_base: str = ""
    adapter: bool = False

    def text(self) -> str:
        """The card in Markdown, with the metadata that the Hub reads."""
        told = [f"| {name} | {value} |" for name, value in self.figures.items()]
        table = ["| figure | value |", "|---|---|", *told]
        lines = [
            "---",
            f"library_name: {'peft' if self.adapter else 'transformers'}",
            "pipeline_tag: text-generation",
            "tags: [seedbed, code]",
            *([f"base_model: {self.hub_base}"] if self.hub_base else []),
            "---",
            "",
            f"# {self.title}",
            "",
            self.opening,
            "",
            _USE_ADAPTER if self.adapter else _USE,
            "",
            _SUMS,
            "",
            "## Where it comes from",
            "",
            *self.lineage,
            "",
            f"## At step {self.step:,}",
            "",
            *(table if told else ["metrics.jsonl has no row of it."]),
            "",
            "## Settings",
            "",
            "```yaml",
            self.settings.rstrip(),
            "```",
        ]
        return "\n".join(lines) + "\n"


def card(
    found: dict[str, Any], cfg: PretrainConfig, sources: dict[str, Manifest], dtype: str
) -> str:
    """The card of a pretraining run. found: the manifest of a checkpoint (read_manifest)."""
    folder = Path(found["folder"])
    parameters = cfg.model.parameters(found["architecture"]["vocab_size"])
    figures = row_of(folder.parents[1] / "metrics.jsonl", found["step"])
    return Card(
        title=f"{folder.parents[2].name}, step {found['step']:,}",
        opening=(
            f"{parameters / 1e6:,.2f} M parameters, written in {dtype}, trained in "
            f"{found['architecture']['dtype']}; context of {cfg.model.seq_length:,} tokens."
        ),
        lineage=[
            f"- checkpoint: `{folder.name}` of `{folder.parents[2]}`",
            f"- settings: hash `{found['extra']['config_hash']}`, below in full",
            f"- begins with: `{cfg.parent}`" if cfg.parent else "- begins with: random weights",
            *made_with(found),
            "",
            "| source | weight | token folder | tokens | identity | tables (name@version) |",
            "|---|---|---|---|---|---|",
            *(_source(name, cfg, manifest) for name, manifest in sources.items()),
        ],
        step=found["step"],
        figures={name: figures[name] for name in _FIGURES if figures.get(name) is not None},
        settings=to_yaml(cfg),
    ).text()


def made_with(found: dict[str, Any]) -> list[str]:
    """A line for each library that a checkpoint's manifest names."""
    return [f"- made with {name} {version}" for name, version in found["made_with"].items()]


def _source(name: str, cfg: PretrainConfig, manifest: Manifest) -> str:
    weight = next((one.weight for one in cfg.data.blend if one.name == name), 1.0)
    tokens = sum(shard.tokens for shard in manifest.of("train"))
    tables = ", ".join(f"{table}@{version}" for table, version in manifest.tables.items())
    return (
        f"| {name} | {weight:g} | `{manifest.folder}` | {tokens:,} | `{manifest.identity}` "
        f"| {tables or 'none'} |"
    )
