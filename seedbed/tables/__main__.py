"""python -m seedbed.tables > docs/tables.md: writes the page of the tables from the catalogue."""

from __future__ import annotations

import sys

from conf.errors import SeedbedError, run_cli
from seedbed.tables.page import page


def main(argv: list[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if argv:
        raise SeedbedError(f"it takes no {argv[0]!r}", "python -m seedbed.tables > docs/tables.md")
    print(page(), end="")
    return 0


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
