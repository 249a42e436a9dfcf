"""What the demo expected and obtained, and the time of every stage and job."""

from __future__ import annotations

from typing import Any

from report.blocks import Bar, Bars, Block, Section, Table
from report.run import Missing, RunFolder


def section(run: RunFolder) -> Section:
    blocks: list[Block] = []
    lead: list[str] = []
    for path, read, show in (
        ("demo/results.json", run.document, _outcome),
        ("demo/stages.json", run.document, _stages),
        ("curate/metrics.jsonl", run.lines, _jobs),
    ):
        try:
            block, sentence = show(read(path))
        except Missing as missing:
            last = missing
            continue
        blocks.append(block)
        lead.append(sentence)
    if not blocks:
        raise last
    return Section(
        "timing",
        "Outcome and time",
        " ".join(lead),
        blocks,
        "demo/results.json, demo/stages.json, curate/metrics.jsonl",
    )


def _outcome(rows: list[dict[str, Any]]) -> tuple[Table, str]:
    cells = [
        [r["what"], str(r["expected"]), str(r["obtained"]), "✓" if r["ok"] else "✗ differs"]
        for r in rows
    ]
    good = sum(bool(row["ok"]) for row in rows)
    lead = f"{good} of {len(rows)} figures are as the demo expects."
    return Table(
        ["figure", "expected", "obtained", ""], cells, frozenset({1, 2}), "Expected and obtained"
    ), lead


def _stages(stages: list[dict[str, Any]]) -> tuple[Bars, str]:
    widest = max(max(stage["seconds"], stage["expected_seconds"]) for stage in stages)
    bars = [
        Bar(
            stage["name"],
            [(stage["seconds"] / widest, "c1", f"{stage['seconds']:.1f} s")],
            clock(stage["seconds"]),
            f"expected {clock(stage['expected_seconds'])}",
        )
        for stage in stages
    ]
    return Bars(
        "Stages", bars
    ), f"{clock(sum(stage['seconds'] for stage in stages))} minutes in {len(stages)} stages."


def _jobs(records: list[dict[str, Any]]) -> tuple[Bars, str]:
    newest = {record["job"]: record for record in records}
    widest = max(record["seconds"] for record in newest.values())
    bars = []
    for name, record in newest.items():
        note = f"{record['rows_in']:,} → {record['rows_out']:,} rows"
        if record["bytes_in"]:
            note += f", {record['bytes_in'] / 1e6 / max(record['seconds'], 1e-9):.1f} MB/s"
        part = (record["seconds"] / widest, "c4", f"{record['seconds']:.1f} s")
        bars.append(Bar(name, [part], f"{record['seconds']:.1f} s", note))
    total = clock(sum(record["seconds"] for record in newest.values()))
    caption = "The newest run of each job that had something to do."
    return Bars("Curation jobs", bars, caption=caption), f"The curation jobs took {total}."


def clock(seconds: float) -> str:
    """Minutes and seconds, such as 12:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
