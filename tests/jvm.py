"""Whether Spark's JVM can run here; where it cannot, a test that needs it is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.errors import SeedbedError


def require_jvm() -> None:
    """Skip the test where `make java` was not run."""
    from spark_jobs.runtime.engines import jvm

    try:
        jvm.check_java()
    except SeedbedError as error:
        pytest.skip(f"{error.problem}; `make java` installs what the JVM engine needs")
    if not any(Path.home().glob(".ivy2*/jars/io.delta_delta-spark_*.jar")):
        pytest.skip("the Delta jars are not in the Ivy cache; `make java` fetches them")
