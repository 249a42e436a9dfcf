"""python -m scripts.coverage_page FILE: the table of docs/coverage.md from coverage's JSON report.

It replaces what stands between the two marks of the page. A row is a package, or a folder of one.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from conf.errors import SeedbedError, run_cli

PAGE = Path("docs/coverage.md")
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"
# What a row adds up, by coverage's own names.
COUNTS = (
    "num_statements", "covered_lines", "num_branches", "covered_branches", "excluded_lines",
)  # fmt: skip


def table(report: dict[str, object]) -> str:
    """A Markdown table of a JSON report: a row per package and folder, and their sum."""
    rows: dict[str, Counter[str]] = {}
    for name, file in report["files"].items():  # type: ignore[attr-defined]
        folder = "/".join(name.split("/")[:-1][:2])
        for key in (folder, "**all**"):
            rows.setdefault(key, Counter()).update(
                {count: file["summary"][count] for count in COUNTS}
            )
    lines = [
        "| package | statements | run | branches | taken | marked |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for key in sorted(rows, key=lambda key: (key == "**all**", key)):
        n = rows[key]
        lines.append(
            f"| {key} | {n['num_statements']:,} | {_share(n['covered_lines'], n['num_statements'])}"
            f" | {n['num_branches']:,} | {_share(n['covered_branches'], n['num_branches'])}"
            f" | {n['excluded_lines']:,} |"
        )
    return "\n".join(lines) + "\n"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def main(argv: list[str]) -> None:
    if len(argv) != 1 or not Path(argv[0]).is_file():
        raise SeedbedError("it takes coverage's JSON report", "run make coverage")
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(before + BEGIN + table(json.loads(Path(argv[0]).read_text())) + END + after)


if __name__ == "__main__":
    run_cli(main)
