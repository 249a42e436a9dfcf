"""Where every file went: the funnel, adding up to the last row."""

from __future__ import annotations

from report.blocks import Bar, Bars, Block, Note, Section
from report.run import CURATE, RunFolder
from seedbed.queries.funnel import funnel_so_far
from seedbed.tables import reasons


def section(run: RunFolder) -> Section:
    db = run.tables("files", "contents")
    steps = funnel_so_far(db)
    seen = steps[0].kept
    bars = [
        Bar("seen", [(1.0, "c1", f"{seen:,} files")], f"{seen:,}", "every file of every source")
    ]
    for step in steps[1:]:
        parts = [
            (step.kept / seen, "c1", f"{step.kept:,} {step.unit} left"),
            (step.dropped / seen, "c2", f"{step.dropped:,} dropped as {step.reason}"),
        ]
        bars.append(Bar(step.reason, parts, f"−{step.dropped:,}", reasons.meaning(step.reason)))
    whole = run.has("decisions", "documents")
    last, dropped = steps[-1].kept, sum(step.dropped for step in steps)
    bars.append(
        Bar("documents" if whole else "so far", [(last / seen, "c3", f"{last:,}")], f"{last:,}", "")
    )
    blocks: list[Block] = [
        Bars(
            "From files seen to documents",
            bars,
            [
                ("c1", "left after this step"),
                ("c2", "dropped by it"),
                ("c3", "in the corpus" if whole else "left"),
            ],
            f"It adds up: {seen:,} seen − {dropped:,} dropped = {last:,}. "
            "Each file has one first reason, in this order.",
        )
    ]
    if not whole:
        blocks.append(
            Note(
                "The run stopped before the policy was applied, which drops by syntax, score and "
                "overlap. It goes on with",
                CURATE.format(output=run.output),
            )
        )
    outcome = "became documents" if whole else "are left so far"
    lead = f"Of {seen:,} files seen, {last:,} ({last / seen:.0%}) {outcome}."
    return Section(
        "funnel",
        "Funnel",
        lead,
        blocks,
        "files, contents, decisions, documents" if whole else "files, contents",
    )
