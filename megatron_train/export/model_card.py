"""README.md of an exported model: what it is, and what it was made of."""

from __future__ import annotations

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
```

`sha256sum --check SHA256SUMS` says whether the files are those that were written."""


def card(
    found: dict[str, Any], cfg: PretrainConfig, sources: dict[str, Manifest], dtype: str
) -> str:
    """The text of the card. found: a checkpoint's manifest (step_folders.read_manifest)."""
    folder = Path(found["folder"])
    parameters = cfg.model.parameters(found["architecture"]["vocab_size"])
    figures = row_of(folder.parents[1] / "metrics.jsonl", found["step"])
    told = [f"| {name} | {figures[name]} |" for name in _FIGURES if figures.get(name) is not None]
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags: [seedbed, code]",
        "---",
        "",
        f"# {folder.parents[2].name}, step {found['step']:,}",
        "",
        f"{parameters / 1e6:,.2f} M parameters, written in {dtype}, trained in "
        f"{found['architecture']['dtype']}; context of {cfg.model.seq_length:,} tokens.",
        "",
        _USE,
        "",
        "## Where it comes from",
        "",
        f"- checkpoint: `{folder.name}` of `{folder.parents[2]}`",
        f"- settings: hash `{found['extra']['config_hash']}`, below in full",
        f"- begins with: `{cfg.parent}`" if cfg.parent else "- begins with: random weights",
        *(f"- made with {name} {version}" for name, version in found["made_with"].items()),
        "",
        "| source | weight | token folder | tokens | identity | tables (name@version) |",
        "|---|---|---|---|---|---|",
        *(_source(name, cfg, manifest) for name, manifest in sources.items()),
        "",
        f"## At step {found['step']:,}",
        "",
        *(
            ["| figure | value |", "|---|---|", *told]
            if told
            else ["metrics.jsonl has no row of it."]
        ),
        "",
        "## Settings",
        "",
        "```yaml",
        to_yaml(cfg).rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _source(name: str, cfg: PretrainConfig, manifest: Manifest) -> str:
    weight = next((one.weight for one in cfg.data.blend if one.name == name), 1.0)
    tokens = sum(shard.tokens for shard in manifest.of("train"))
    tables = ", ".join(f"{table}@{version}" for table, version in manifest.tables.items())
    return (
        f"| {name} | {weight:g} | `{manifest.folder}` | {tokens:,} | `{manifest.identity}` "
        f"| {tables or 'none'} |"
    )
