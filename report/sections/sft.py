"""SFT: the loss on demonstrations, trained and held out."""

from __future__ import annotations

from report.blocks import Section, SideBySide
from report.run import RunFolder
from report.sections.pretrain import curve, losses, single


def section(run: RunFolder) -> Section:
    rows = run.lines("rl/sft/metrics.jsonl")
    held = curve(rows, "heldout_loss")
    lead = (
        f"Loss {rows[0]['loss']:.2f} → {rows[-1]['loss']:.2f} in {rows[-1]['step']:,} steps "
        "on demonstrations."
    )
    if held:
        lead += f" On held-out ones: {held[-1][1]:.2f}."
    charts = SideBySide(
        [
            losses(rows, held, "held out", "nats per response token"),
            single(rows, "lr", "Learning rate", "learning rate", zero=True),
        ]
    )
    return Section("sft", "SFT", lead, [charts], "rl/sft/metrics.jsonl")
