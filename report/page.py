"""The page: every section of a run in reading order; a missing one is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from conf.errors import SeedbedError
from report.blocks import Fact, Note, Section
from report.run import Missing, RunFolder
from report.sections import (
    dpo,
    duplicates,
    funnel,
    grpo,
    mix,
    pretrain,
    quality,
    rounds,
    sft,
    syntax,
    tables,
    timing,
    tokens,
)

HERE = Path(__file__).parent
# (id, title where it is missing, maker)
SECTIONS = (
    ("funnel", "Funnel", funnel.section),
    ("mix", "Languages and licences", mix.section),
    ("duplicates", "Duplicates", duplicates.section),
    ("syntax", "Syntax", syntax.section),
    ("quality", "Quality", quality.section),
    ("tokens", "Tokens", tokens.section),
    ("pretrain", "Pretraining", pretrain.section),
    ("rounds", "Rounds", rounds.section),
    ("sft", "SFT", sft.section),
    ("dpo", "DPO", dpo.section),
    ("grpo", "GRPO", grpo.section),
    ("timing", "Outcome and time", timing.section),
    ("tables", "Tables", tables.section),
)


def build(output: str) -> str:
    """The page of the run under `output` as HTML; the same run gives the same bytes.

    Raises SeedbedError where there is no run.
    """
    run = RunFolder(output)
    env = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [_section(run, *entry) for entry in SECTIONS]
    style = Markup((HERE / "style.css").read_text(encoding="utf-8"))
    return env.get_template("page.html.j2").render(
        run=run.output, when=_when(run), headline=_headline(run), sections=sections, style=style
    )


def _section(
    run: RunFolder, name: str, title: str, make: Callable[[RunFolder], Section]
) -> Section:
    try:
        return make(run)
    except Missing as missing:
        return Section(
            name, title, "", [Note(f"Not there yet: {missing.what}. Make it with", missing.command)]
        )
    except SeedbedError as error:
        return Section(name, title, "", [Note(f"{error.problem}. To mend it", error.fix)])


def _when(run: RunFolder) -> str:
    """From the first to the last of the tables' newest commits, UTC."""
    if run.db is None:
        return ""
    times = sorted(run.db.committed_at(name) for name in run.db.names)
    return (
        f"{times[0]:%Y-%m-%d %H:%M} – {times[-1]:%H:%M} UTC"
        if times[0].date() == times[-1].date()
        else f"{times[0]:%Y-%m-%d} – {times[-1]:%Y-%m-%d}"
    )


def _headline(run: RunFolder) -> list[Fact]:
    """The run in one line of figures, as far as it got."""
    facts = []
    for table, what, label in (
        ("files", "count(*)", "files seen"),
        ("documents", "count(*)", "documents kept"),
        ("token_index", "coalesce(sum(tokens), 0)::BIGINT", "tokens"),
    ):
        if run.has(table):
            total = run.tables(table).one(f"SELECT {what} AS n FROM {table}")["n"]
            facts.append(Fact(f"{total / 1e6:.1f} M" if total >= 1e6 else f"{total:,}", label))
    for path, key, label in (
        ("pretrain/metrics.jsonl", "val_loss", "validation loss"),
        ("rl/grpo/metrics.jsonl", "heldout_reward", "held-out reward"),
    ):
        try:
            values = [row[key] for row in run.lines(path) if row.get(key) is not None]
        except Missing:
            continue
        if values:
            facts.append(Fact(f"{values[0]:.2f} → {values[-1]:.2f}", label))
    return facts
