from __future__ import annotations

from collections.abc import Iterator

import pytest

from seedbed.sandbox import Limits, Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Two workers with short limits, shared: what one program does must not touch the next one's
    verdict.
    """
    with Sandbox(2, Limits(cpu_seconds=1.0, wall_seconds=3.0, memory_bytes=256 << 20)) as pool:
        yield pool
