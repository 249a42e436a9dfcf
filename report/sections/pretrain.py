"""Pretraining: loss, learning rate, speed, and what the model writes before and after."""

from __future__ import annotations

from typing import Any

from report import svg
from report.blocks import Block, Chart, Code, Fact, Figures, Section, SideBySide
from report.highlight import python
from report.run import Missing, RunFolder

SAMPLES = 4


def section(run: RunFolder) -> Section:
    rows = run.lines("pretrain/metrics.jsonl")
    last = rows[-1]
    val = curve(rows, "val_loss")
    speeds = [row["tokens_per_s"] for row in rows if row.get("tokens_per_s")]
    facts = [
        Fact(f"{last['step']:,}", "steps"),
        Fact(f"{last['tokens'] / 1e6:.2f} M", "tokens read"),
        Fact(f"{last['loss']:.3f}", "last training loss"),
    ]
    if val:
        facts.append(Fact(f"{val[-1][1]:.3f}", "last validation loss"))
    if speeds:
        facts.append(Fact(f"{sorted(speeds)[len(speeds) // 2]:,.0f}", "tokens per second, median"))
    loss = losses(rows, val, "validation", "nats per token")
    blocks: list[Block] = [
        Figures(facts),
        SideBySide([loss, single(rows, "lr", "Learning rate", "learning rate", zero=True)]),
    ]
    blocks.append(
        SideBySide(
            [
                single(rows, "tokens_per_s", "Speed", "tokens per second", zero=True),
                single(rows, "grad_norm", "Gradient norm", "norm before clipping", zero=True),
            ]
        )
    )
    blocks += _samples(run)
    lead = f"Training loss {rows[0]['loss']:.2f} → {last['loss']:.2f} in {last['step']:,} steps."
    if val:
        lead += f" On repositories it never saw: {val[-1][1]:.2f}."
    return Section(
        "pretrain", "Pretraining", lead, blocks, "pretrain/metrics.jsonl, pretrain/samples.json"
    )


def curve(rows: list[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    """(step, value) of the rows that have a value."""
    return [(row["step"], row[key]) for row in rows if row.get(key) is not None]


def single(rows: list[dict[str, Any]], key: str, title: str, y: str, zero: bool = False) -> Chart:
    """A chart of one metric over the steps."""
    series = [svg.Series(title, "c1", curve(rows, key))]
    return Chart(title, svg.lines(title, series, "step", y, (0.0 if zero else None, None)))


def losses(
    rows: list[dict[str, Any]], held_out: list[tuple[float, float]], name: str, y: str
) -> Chart:
    """Training loss as a line, held-out loss as dots where there is any."""
    series = [svg.Series("train", "c4", curve(rows, "loss"))]
    if held_out:
        series.append(svg.Series(name, "c1", held_out, dots=True))
    return Chart("Loss", svg.lines("Loss", series, "step", y), [(s.color, s.name) for s in series])


def _samples(run: RunFolder) -> list[SideBySide]:
    try:
        entries = run.document("pretrain/samples.json")
    except Missing:
        return []
    if not entries:
        return []
    before, after = entries[0], entries[-1]
    rows = []
    for first, then in list(zip(before["completions"], after["completions"], strict=False))[
        :SAMPLES
    ]:
        pair: list[Any] = [
            Code(
                f"step {step:,}",
                python(one["prompt"] + "▸" + one["completion"], 14),
                ["greedy, from ▸"],
                tone,
            )
            for step, one, tone in ((before["step"], first, "bad"), (after["step"], then, "good"))
        ]
        rows.append(SideBySide(pair if before is not after else pair[1:]))
    return rows
