"""DPO: its loss, which begins at ln 2, its margin, and one pair with the reason for it."""

from __future__ import annotations

from report.blocks import Block, Code, Fact, Figures, Section, SideBySide
from report.highlight import python
from report.run import RunFolder
from report.sections.pretrain import losses, single


def section(run: RunFolder) -> Section:
    rows = run.lines("rl/dpo/metrics.jsonl")
    pairs = run.lines("rl/dpo/pairs.jsonl")
    last = rows[-1]
    lead = (
        f"Loss {rows[0]['loss']:.3f} → {last['loss']:.3f} in {last['step']:,} steps "
        f"on {len(pairs):,} pairs."
    )
    facts = [
        Fact(f"{len(pairs):,}", "pairs"),
        Fact(f"{last['accuracy']:.0%}", "of the last batch rank the right side first"),
    ]
    pair = pairs[0]
    blocks: list[Block] = [
        Figures(facts),
        SideBySide(
            [
                losses(rows, [], "", "nats per pair"),
                single(rows, "margin", "Margin", "chosen - rejected", zero=True),
            ]
        ),
        SideBySide(
            [
                Code(pair["prompt"], python(pair["chosen"], 14), ["chosen"], "good"),
                Code(pair["prompt"], python(pair["rejected"], 14), [pair["reason"]], "bad"),
            ]
        ),
    ]
    return Section("dpo", "DPO", lead, blocks, "rl/dpo/metrics.jsonl, rl/dpo/pairs.jsonl")
