"""The library under the three programs: tables, queries, kernels, inference and the sandbox.

Examples:
    >>> import seedbed
    >>> run = seedbed.open("runs/demo")
    >>> run.funnel()[0].kept
    8

`open` reads the tables and metrics of a run, with no Spark and no JVM (seedbed/run.py).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seedbed.run import Run

__all__ = ["open"]


def open(output: str | os.PathLike[str]) -> Run:
    """The run under `output`: a path, or a URI such as s3://BUCKET/RUN.

    Raises SeedbedError where it holds no tables.
    """
    # Arrow and DuckDB take a second to import, and most of this library needs neither.
    from seedbed.run import Run

    return Run(os.fspath(output))
