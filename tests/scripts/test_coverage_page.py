"""The table of docs/coverage.md from a report of two files in one folder and one beside it."""

from __future__ import annotations

import json

import pytest

from conf.errors import SeedbedError
from scripts import coverage_page


def file(statements: int, covered: int, branches: int, taken: int, excluded: int) -> dict:
    names = (
        "num_statements",
        "covered_lines",
        "num_branches",
        "covered_branches",
        "excluded_lines",
    )
    counts = (statements, covered, branches, taken, excluded)
    return {"summary": dict(zip(names, counts, strict=True))}


REPORT = {
    "files": {
        "rl/grpo.py": file(3, 1, 0, 0, 0),
        "seedbed/tables/a.py": file(1_000, 900, 10, 5, 2),
        "seedbed/tables/deep/b.py": file(1_000, 1_000, 30, 27, 1),
    }
}


def test_files_of_a_folder_add_up_and_the_sum_comes_last():
    rows = coverage_page.table(REPORT).splitlines()[2:]
    assert rows == [
        "| rl | 3 | 33.3% | 0 | - | 0 |",
        "| seedbed/tables | 2,000 | 95.0% | 40 | 80.0% | 3 |",
        "| **all** | 2,003 | 94.9% | 40 | 80.0% | 3 |",
    ]


def test_the_table_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    page = tmp_path / "coverage.md"
    page.write_text("before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n")
    report = tmp_path / "report.json"
    report.write_text(json.dumps(REPORT))
    monkeypatch.setattr(coverage_page, "PAGE", page)
    for _ in range(2):
        coverage_page.main([str(report)])
        text = page.read_text()
        assert text.startswith("before\n<!-- table -->\n| package |")
        assert text.endswith("| 3 |\n<!-- end of table -->\nafter\n")
        assert "old" not in text


def test_without_a_report_it_says_what_to_run():
    with pytest.raises(SeedbedError, match="JSON report"):
        coverage_page.main([])
