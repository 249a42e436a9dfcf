from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from seedbed.sandbox import Limits, Sandbox
from seedbed.sandbox.languages import installed
from seedbed.sandbox.languages.language import MissingTool

# Limits at which a forger loses little time, and the JVM still starts.
LIMITS = Limits(cpu_seconds=1.5, wall_seconds=5.0, memory_bytes=256 << 20)


@pytest.fixture(scope="session")
def polyglot() -> Iterator[Sandbox]:
    """Two workers with short limits, for programs in any language."""
    with Sandbox(2, LIMITS) as pool:
        yield pool


@pytest.fixture(scope="session")
def needs() -> Callable[[str], None]:
    """Skips a test where a language's tools are not installed."""

    def look(name: str) -> None:
        try:
            installed.toolchain(name)
        except MissingTool as error:
            pytest.skip(str(error))

    return look
