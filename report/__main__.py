"""python -m report output=DIR

Writes DIR/report.html, whatever part of the run is there: tables, pretraining, post-training.
"""

from __future__ import annotations

import sys
from pathlib import Path

from conf.errors import SeedbedError, run_cli
from report.page import build


def main(argv: list[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if len(argv) != 1 or not argv[0].startswith("output=") or argv[0] == "output=":
        raise SeedbedError(
            f"report takes output=DIR alone, got {' '.join(argv) or 'nothing'}",
            "python -m report output=runs/demo",
        )
    output = argv[0].removeprefix("output=")
    page = Path(output) / "report.html"
    text = build(output)
    page.write_text(text, encoding="utf-8")
    print(f"{page} ({len(text.encode()) / 1e3:,.0f} kB)")
    return 0


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
