"""What every test runs under."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests import corpus
from tests.fake_endpoint import Fake

# A test's JVM lives for seconds and is cold throughout: the optimizing compiler costs a third more CPU than it ever gives back
# (measured on 25 small Delta writes and joins: 93 CPU seconds with it, 58 without). Processes that tests start inherit this.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


@pytest.fixture(scope="session")
def curated(tmp_path_factory):
    """(source, output) of one undisturbed curate run over tests.corpus."""
    root = tmp_path_factory.mktemp("curated")
    source = corpus.build(root / "source")
    subprocess.run(corpus.command(source, root / "output"), check=True)
    return source, root / "output"


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
