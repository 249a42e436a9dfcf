"""Scores: histogram with the cut, agreement with the labels, the best and worst snippets."""

from __future__ import annotations

from typing import Any

from report import svg
from report.blocks import Block, Chart, Code, Note, Section, SideBySide, Table
from report.highlight import source
from report.run import Missing, RunFolder
from seedbed.tables.reader import DeltaReader

BINS = 40
# The number of best snippets that are shown, and of worst ones.
SNIPPETS = 3
# The labelled files that the calibration curve of a language needs.
CALIBRATED = 20
# The languages with a curve: those with most labels.
CHARTS = 4
MEASURES = (
    ("files", "files", ",d"),
    ("mae", "MAE", ".2f"),
    ("cmae", "cMAE", ".2f"),
    ("spearman", "Spearman", ".2f"),
    ("within_1", "within 1", ".0%"),
    ("zero_recall", "zeros found", ".0%"),
)
# Short enough to show, long enough to judge; one file per repository, so that one package alone
# does not fill both ends.
_SNIPPETS = """
SELECT content_sha256, quality, text, spot.repo, spot.revision, spot.path FROM (
  SELECT s.content_sha256, s.quality, c.text, p.spot,
         row_number() OVER (PARTITION BY p.spot.repo
                            ORDER BY s.quality {order}, s.content_sha256) AS place
  FROM scores s JOIN contents c USING (content_sha256)
  JOIN (SELECT content_sha256, min(struct_pack(repo, revision, path)) AS spot
        FROM files WHERE drop_reason IS NULL GROUP BY 1) p USING (content_sha256)
  WHERE s.scorer = ? AND c.bytes BETWEEN 300 AND 6000)
WHERE place = 1 ORDER BY quality {order}, content_sha256 LIMIT ?
"""
_AGREEMENT = """
SELECT l.score / 10 AS label, s.quality FROM labels l JOIN scores s USING (content_sha256)
WHERE s.scorer = ? AND l.score IS NOT NULL ORDER BY l.content_sha256, l.oracle
"""


def section(run: RunFolder) -> Section:
    db = run.tables("scores")
    scorers = [row["scorer"] for row in db.sql("SELECT DISTINCT scorer FROM scores ORDER BY 1")]
    if not scorers:
        raise Missing(
            "a row in table scores",
            "python -m spark_jobs run ... (the table is there, with nothing scored yet)",
        )
    used = db.lineage("decisions").get("params", {}).get("scorer") if run.has("decisions") else None
    cut = (
        db.one(
            "SELECT max(s.quality) AS cut FROM decisions d JOIN scores s USING (content_sha256) "
            "WHERE d.reason = 'low_quality' AND s.scorer = ?",
            [used],
        )["cut"]
        if used
        else None
    )
    blocks: list[Block] = []
    for scorer in sorted(scorers, key=lambda name: (name != used, name)):
        charts: list[Chart | Any] = [_histogram(run, db, scorer, cut if scorer == used else None)]
        pairs = db.sql(_AGREEMENT, [scorer]) if run.has("labels") else []
        if len(pairs) > 1:
            charts.append(_agreement(scorer, pairs))
        blocks.append(SideBySide(charts))
    cards = _scorer_cards(run)
    if cards:
        blocks.append(cards)
    calibrated = _calibration(run, used or scorers[0])
    if calibrated:
        blocks.append(SideBySide(list(calibrated)))
    shown = used or scorers[0]
    blocks += _snippets(run, db, shown)
    count = db.one("SELECT count(*) AS n FROM scores WHERE scorer = ?", [shown])["n"]
    lead = f"{count:,} contents scored by {shown}."
    if cut is not None:
        dropped = db.one("SELECT count(*) AS n FROM decisions WHERE reason = 'low_quality'")["n"]
        lead += f" The policy cuts at {cut:.3f} and drops {dropped:,}."
    tables = [
        name for name in ("scores", "labels", "decisions", "contents", "files") if run.has(name)
    ]
    return Section("quality", "Quality", lead, blocks, ", ".join(tables))


def _histogram(run: RunFolder, db: DeltaReader, scorer: str, cut: float | None) -> Chart:
    verdict = (
        "CASE WHEN d.content_sha256 IS NULL THEN 'scored' WHEN d.reason IS NULL THEN 'kept' "
        "WHEN d.reason = 'low_quality' THEN 'cut' ELSE 'other' END"
    )
    join = "LEFT JOIN decisions d USING (content_sha256)" if run.has("decisions") else ""
    rows = db.sql(
        f"SELECT least(floor(s.quality * {BINS}), {BINS - 1})::INT AS bin, "
        f"{verdict if join else repr('scored')} AS verdict, count(*) AS n "
        f"FROM scores s {join} WHERE s.scorer = ? GROUP BY 1, 2",
        [scorer],
    )
    names = [
        ("kept", "kept", "c1"),
        ("scored", "scored", "c1"),
        ("cut", "dropped: low quality", "c2"),
        ("other", "dropped before, for another reason", "c5"),
    ]
    counts = {(row["verdict"], row["bin"]): row["n"] for row in rows}
    present = [
        (verdict, name, color)
        for verdict, name, color in names
        if any(v == verdict for v, _ in counts)
    ]
    stacks = [
        (name, color, [counts.get((v, b), 0) for b in range(BINS)]) for v, name, color in present
    ]
    marks = [(cut, f"cut {cut:.3f}")] if cut is not None else []
    drawing = svg.histogram(
        f"Scores by {scorer}",
        [b / BINS for b in range(BINS + 1)],
        stacks,
        "quality",
        "contents",
        marks,
    )
    return Chart(f"Scores by {scorer}", drawing, [(color, name) for _, name, color in present])


def _agreement(scorer: str, pairs: list[dict[str, Any]]) -> Chart:
    cells: dict[tuple[float, float], int] = {}
    for pair in pairs:
        spot = (round(pair["label"] * 20) / 20, (min(int(pair["quality"] * 25), 24) + 0.5) / 25)
        cells[spot] = cells.get(spot, 0) + 1
    labels, scores = [p["label"] for p in pairs], [p["quality"] for p in pairs]
    error = sum(abs(x - y) for x, y in zip(labels, scores, strict=True)) / len(pairs)
    rank = _spearman(labels, scores)
    caption = (
        f"{len(pairs):,} labelled contents: mean absolute error {error * 10:.2f} of 10, "
        f"rank correlation {rank:.2f}."
    )
    drawing = svg.bubbles(
        f"Label against score, {scorer}",
        [(x, y, n) for (x, y), n in sorted(cells.items())],
        "oracle label / 10",
        "score",
    )
    return Chart(
        f"Label against score, {scorer}",
        drawing,
        caption=caption
        + " Area is the number of contents; it includes those the scorer was fitted on.",
    )


def _spearman(xs: list[float], ys: list[float]) -> float:
    """Spearman's rank correlation, with ties at their mean rank; 0 where one side is constant."""
    a, b = _ranks(xs), _ranks(ys)
    mean = (len(a) + 1) / 2
    top = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    below = (sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)) ** 0.5
    return top / below if below else 0.0


def _ranks(values: list[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for i in order[start : end + 1]:
            ranks[i] = (start + end) / 2 + 1
        start = end + 1
    return ranks


def _scorer_cards(run: RunFolder) -> Table | None:
    """The errors that each fitted scorer measured, beside those of the labels' mean."""
    rows = []
    for path in run.files("scorers/*/scorer.json"):
        card = run.document(path)
        if card["kind"] == "structural":
            measured = {name: m for name, m in card.get("metrics", {}).items() if "mae" in m}
        else:
            measured = {
                "held-out repositories": card,
                "mean of labels": {"mae": card["mae_of_the_mean"]},
            }
        for name, m in measured.items():
            cells = [f"{m[key]:{style}}" if key in m else "" for key, _, style in MEASURES]
            rows.append([card["version"], name.replace("_", " "), *cells])
    if not rows:
        return None
    head = ["scorer", "measured as", *[title for _, title, _ in MEASURES]]
    caption = (
        "On the 0-10 scale of the labels. cMAE is the mean over the eleven label classes, so that "
        "rare ones count."
    )
    return Table(head, rows, frozenset(range(2, len(head))), "Errors of the scorers", caption)


def _calibration(run: RunFolder, scorer: str) -> list[Chart]:
    """Mean label against mean prediction, for each language.

    The predictions are those of files whose repository the scorer had not seen.
    """
    path = f"scorers/{scorer}/scorer.json"
    if not run.files(path):
        return []
    languages = run.document(path).get("metrics", {}).get("by_language", {})
    measured = [
        (name, m)
        for name, m in languages.items()
        if "calibration" in m and m["files"] >= CALIBRATED
    ]
    measured.sort(key=lambda item: (-item[1]["files"], item[0]))
    perfect = svg.Series("perfect", "c5", [(0, 0), (10, 10)])
    charts = []
    for name, m in measured[:CHARTS]:
        points = [(predicted, label) for predicted, label, _ in m["calibration"]]
        title = f"Calibration: {name}"
        curve = svg.Series(name, "c1", points, dots=True)
        drawing = svg.lines(title, [perfect, curve], "mean prediction", "mean label", (0, 10))
        caption = f"{m['files']} files in {len(points)} equal parts, cross-validated by repository."
        charts.append(Chart(title, drawing, [("c1", name), ("c5", "perfect")], caption))
    return charts


def _snippets(run: RunFolder, db: DeltaReader, scorer: str) -> list[Block]:
    """Pairs: the best beside the worst."""
    if not run.has("contents", "files"):
        return []
    ends = [
        [
            _snippet(run, db, hit, tone)
            for hit in db.sql(_SNIPPETS.format(order=order), [scorer, SNIPPETS])
        ]
        for order, tone in (("DESC", "good"), ("ASC", "bad"))
    ]
    note = Note(f"The best and the worst by {scorer}, at most one file per repository.")
    return [note, *[SideBySide(list(pair)) for pair in zip(*ends, strict=True)]]


def _snippet(run: RunFolder, db: DeltaReader, hit: dict[str, Any], tone: str) -> Code:
    facts = [f"score {hit['quality']:.3f}", f"{hit['repo']} {hit['revision']}"]
    if run.has("labels"):
        label = db.first(
            "SELECT score FROM labels WHERE content_sha256 = ? AND score IS NOT NULL "
            "ORDER BY oracle",
            [hit["content_sha256"]],
        )
        facts += [f"label {label['score']:g} of 10"] if label else []
    return Code(hit["path"], source(hit["text"], hit["path"]), facts, tone)
