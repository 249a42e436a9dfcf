"""SFT: the loss of the warm-up."""

from __future__ import annotations

from report.blocks import Row, Section
from report.run import Run
from report.sections.pretrain import curve, losses, single


def section(run: Run) -> Section:
    rows = run.lines("rl/sft/metrics.jsonl")
    held = curve(rows, "heldout_loss")
    lead = f"Loss {rows[0]['loss']:.2f} → {rows[-1]['loss']:.2f} in {rows[-1]['step']:,} steps on demonstrations."
    if held:
        lead += f" On held-out ones: {held[-1][1]:.2f}."
    charts = Row(
        [
            losses(rows, held, "held out", "nats a response token"),
            single(rows, "lr", "Learning rate", "learning rate", zero=True),
        ]
    )
    return Section("sft", "SFT", lead, [charts], "rl/sft/metrics.jsonl")
