"""Where every file went: the funnel, adding up to the last row."""

from __future__ import annotations

from report.blocks import Bar, Bars, Block, Note, Section
from report.run import Run
from seedbed.queries.explain import funnel_so_far

# Reasons as they stand in the tables -> what they mean, for a reader who sees them the first time.
MEANING = {
    "not_code": "no language of the list",
    "empty": "nothing in it",
    "too_large": "over the size limit",
    "bad_utf8": "not UTF-8",
    "nul": "NUL bytes: binary",
    "unsafe_path": "a path that leaves its archive",
    "link": "a link, not a file",
    "unreadable": "damaged member",
    "duplicate_exact": "same SHA-256 as another",
    "duplicate_near": "its cluster keeps another",
    "syntax": "too much under parser errors",
    "low_quality": "below the score cut",
    "contaminated": "shares a 10-gram with a benchmark",
    "license": "denied license",
    "language": "denied language",
    "too_short": "too few bytes",
}


def section(run: Run) -> Section:
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
        bars.append(Bar(step.reason, parts, f"−{step.dropped:,}", MEANING.get(step.reason, "")))
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
            f"It adds up: {seen:,} seen − {dropped:,} dropped = {last:,}. Each file has one first reason, in this order.",
        )
    ]
    if not whole:
        command = f"python -m spark_jobs run --config conf/curate/local.yaml input=PATH output={run.output}"
        blocks.append(
            Note(
                "The run stopped before the policy was applied, which drops by syntax, score and overlap. It goes on with",
                command,
            )
        )
    lead = f"Of {seen:,} files seen, {last:,} ({last / seen:.0%}) {'became documents' if whole else 'are left so far'}."
    return Section(
        "funnel",
        "Funnel",
        lead,
        blocks,
        "files, contents, decisions, documents" if whole else "files, contents",
    )
