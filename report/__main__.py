"""python -m report output=DIR: writes DIR/report.html, one page about a run.

It shows whatever part of the run is there. A section whose data is missing names the command that
makes it.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable

from conf.errors import SeedbedError, run_cli
from report.blocks import Section
from report.page import SECTIONS, build
from seedbed import storage


def main(argv: list[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        print(help_text())
        return 0
    if len(argv) != 1 or not argv[0].startswith("output=") or argv[0] == "output=":
        raise SeedbedError(
            f"report takes output=DIR alone, got {' '.join(argv) or 'nothing'}",
            "python -m report output=runs/demo",
        )
    output = argv[0].removeprefix("output=")
    text = build(output)
    storage.write_text(output, "report.html", text)
    print(f"{output.rstrip('/')}/report.html ({len(text.encode()) / 1e3:,.0f} kB)")
    return 0


def help_text() -> str:
    """The usage, and one line for each section of the page."""
    shown = (
        textwrap.fill(f"  {name:<18}{about(make)}", 100, subsequent_indent=" " * 20)
        for name, _, make in SECTIONS
    )
    return "\n".join([__doc__.strip(), "", "sections:", *shown])


def about(make: Callable[..., Section]) -> str:
    """The first line of the docstring of the section's module."""
    return (sys.modules[make.__module__].__doc__ or "").splitlines()[0]


if __name__ == "__main__":
    run_cli(main, sys.argv[1:])
