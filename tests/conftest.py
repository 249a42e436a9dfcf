"""What every test runs under."""

from __future__ import annotations

import os

import pytest

from tests.fake_endpoint import Fake

# A test's JVM lives for seconds and is cold throughout: the optimizing compiler costs a third more CPU than it ever gives back
# (measured on 25 small Delta writes and joins: 93 CPU seconds with it, 58 without). Processes that tests start inherit this.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


@pytest.fixture
def serve():
    """Starts a tests.fake_endpoint.Fake of the behaviour given; all end with the test."""
    fakes = []

    def start(behaviour):
        fakes.append(Fake(behaviour))
        return fakes[-1]

    yield start
    for fake in fakes:
        fake.server.shutdown()
        fake.server.server_close()
