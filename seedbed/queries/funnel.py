"""Where every file went: the funnel from the files that were seen to the documents."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError
from seedbed.queries.table_html import table_html
from seedbed.tables import reasons
from seedbed.tables.reader import DeltaReader

NEEDED = ("files", "contents", "decisions", "documents")


@dataclass(frozen=True)
class FunnelStep:
    """`dropped` rows fell to `reason`, and `kept` rows are left.

    The unit is files down to `duplicate_exact`, and contents after it.
    """

    reason: str
    dropped: int
    kept: int
    unit: str


class Funnel(list[FunnelStep]):
    """The steps in order; it prints as an aligned table, and as HTML in a notebook."""

    def __str__(self) -> str:
        lines = [f"{'':<18}{'dropped':>12}{'kept':>12}"]
        for step in self:
            dropped = f"{step.dropped:,}" if step.dropped else ""
            lines.append(f"{step.reason:<18}{dropped:>12}{step.kept:>12,} {step.unit}")
        lines.append(f"{'documents':<18}{'':>12}{self[-1].kept:>12,}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            (step.reason, reasons.meaning(step.reason), step.dropped, step.kept, step.unit)
            for step in self
        ]
        return table_html(("reason", "meaning", "dropped", "kept", "unit"), rows)


def funnel(db: DeltaReader) -> Funnel:
    """Every file that was seen, step by step down to the documents.

    Raises SeedbedError where a table is missing, or where the steps do not add up.
    """
    for table in NEEDED:
        if table not in db:
            raise SeedbedError(
                f"the funnel needs table {table}, which is not there yet",
                "python -m spark_jobs run ... first",
            )
    return funnel_so_far(db)


def funnel_so_far(db: DeltaReader) -> Funnel:
    """The funnel as far as an unfinished run reaches; `files` and `contents` must be there.

    Without decisions it ends at near duplicates, the first reason that is checked, or at exact
    ones. Raises SeedbedError where the steps do not add up.
    """
    steps = Funnel()
    kept = db.one("SELECT count(*) AS n FROM files")["n"]
    steps.append(FunnelStep("seen", 0, kept, "files"))
    dropped = (
        "SELECT drop_reason AS reason, count(*) AS n FROM files WHERE drop_reason IS NOT NULL "
        "GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    for row in db.sql(dropped):
        kept -= row["n"]
        steps.append(FunnelStep(row["reason"], row["n"], kept, "files"))
    contents = db.one("SELECT count(*) AS n FROM contents")["n"]
    exact = reasons.DUPLICATE_EXACT.name
    steps.append(FunnelStep(exact, kept - contents, contents, "contents"))
    if "decisions" in db and "documents" in db:
        steps += _decision_steps(db, contents)
    elif "clusters" in db:
        copies = db.one("SELECT count(*) AS n FROM clusters WHERE NOT survivor")["n"]
        steps.append(FunnelStep("duplicate_near", copies, contents - copies, "contents"))
    return steps


def _decision_steps(db: DeltaReader, contents: int) -> list[FunnelStep]:
    """The steps of `decisions` in the order of the reasons; names that no list holds come last."""
    steps = []
    counted = db.sql("SELECT reason, count(*) AS n FROM decisions GROUP BY 1")
    counts = {row["reason"]: row["n"] for row in counted}
    kept, documents = contents, db.one("SELECT count(*) AS n FROM documents")["n"]
    known = reasons.names()
    for reason in [*known, *sorted(set(counts) - {None, *known})]:
        if counts.get(reason):
            kept -= counts[reason]
            steps.append(FunnelStep(reason, counts[reason], kept, "contents"))
    if sum(counts.values()) != contents or kept != documents or counts.get(None, 0) != documents:
        raise SeedbedError(
            f"the funnel does not add up: {contents:,} contents, {sum(counts.values()):,} "
            f"decisions, {kept:,} left after drops, {documents:,} documents",
            "a run stopped between jobs: run `python -m spark_jobs run` to its end",
        )
    return steps
