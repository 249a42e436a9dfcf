"""Rounds of the self-scoring loop: what was kept, and how well it trains a model."""

from __future__ import annotations

from report.blocks import Section, Table
from report.run import RunFolder


def section(run: RunFolder) -> Section:
    rows = run.document("rounds.json")
    cells = [
        [
            row["round"],
            row["selected_by"],
            f"{row['documents']:,}",
            f"{row['train_tokens']:,}",
            f"{row['bits_per_byte']:.4f}",
            f"{row['label_mae']:.2f}",
            _shares(row["mix"]),
            _shares(row["licenses"]),
        ]
        for row in rows
    ]
    head = [
        "round",
        "selected by",
        "documents",
        "training tokens",
        "bits per byte",
        "label MAE of its scorer",
        "languages by bytes",
        "licences by bytes",
    ]
    change = rows[-1]["bits_per_byte"] - rows[0]["bits_per_byte"]
    lead = f"{len(rows)} rounds; bits per byte on the fixed hold-out changed by {change:+.4f}."
    caption = (
        "The hold-out is the validation documents of round 0; its repositories validate in every "
        "round."
    )
    return Section(
        "rounds",
        "Rounds",
        lead,
        [Table(head, cells, frozenset({2, 3, 4, 5}), "", caption)],
        "rounds.json",
    )


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
