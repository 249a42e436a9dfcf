"""What every test runs under."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from conf.schema.curate import SparkSettings
from tests import corpus, drawn
from tests.fake_endpoint import Fake
from tests.tiny_model import write_model, write_tokenizer

# A test's JVM lives for seconds and is cold throughout: the optimizing compiler costs a third more
# CPU than it ever gives back (measured on 25 small Delta writes and joins: 93 CPU seconds with it,
# 58 without). Processes that tests start inherit this.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

# The engine of the fixture `spark`.
ENGINE = os.environ.get("SEEDBED_TEST_ENGINE", "sail")


class S3(NamedTuple):
    """A place on an S3 server: the URI of a run, and the environment that reaches it."""

    root: str
    environment: dict[str, str]


@pytest.fixture(scope="session")
def curated(tmp_path_factory):
    """(source, output) of one undisturbed curate run over tests.corpus."""
    root = tmp_path_factory.mktemp("curated")
    source = corpus.build(root / "source")
    subprocess.run(corpus.command(source, root / "output"), check=True)
    return source, root / "output"


@pytest.fixture(scope="session")
def mixed(tmp_path_factory):
    """(source, output) of one curate run on Sail, over tests.corpus and two drawn corpora."""
    root = tmp_path_factory.mktemp("mixed")
    source = corpus.build(root / "source")
    for seed in (11, 12):
        drawn.build(source, seed, repositories=5)
    subprocess.run(corpus.command(source, root / "output"), check=True)
    return source, root / "output"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a moto server. It is a process of its own, as delta-rs holds the lock of the
    interpreter while it waits for an answer."""
    pytest.importorskip("moto.server")
    code = (
        "import sys; from moto.server import ThreadedMotoServer as Server;"
        "server = Server('127.0.0.1', 0, verbose=False); server.start();"
        "print(server.get_host_and_port()[1], flush=True); sys.stdin.read()"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    server.kill()
    server.wait()


@pytest.fixture
def s3(s3_server, monkeypatch) -> S3:
    """An empty bucket of the test's own, with the environment that reaches it."""
    environment = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{bucket}", method="PUT")).close()
    return S3(f"s3://{bucket}/run", environment)


@pytest.fixture(scope="session")
def google_key(tmp_path_factory) -> Iterator[str]:
    """The key file of a server of tests.gcs, which is a process of its own, as moto is."""
    key = tmp_path_factory.mktemp("google") / "key.json"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.gcs", "0", str(key)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout.readline() == "ready\n"
    yield str(key)
    server.kill()
    server.wait()


@pytest.fixture
def gs(google_key, monkeypatch) -> str:
    """An empty place on Google Cloud Storage, as tests.gcs plays it."""
    for name in [name for name in os.environ if name.startswith("GOOGLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", google_key)
    return f"gs://full/{uuid.uuid4().hex[:12]}"


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


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """The one session of the whole test run, started as every job starts its own.

    SEEDBED_TEST_ENGINE=spark runs the same tests on Spark's JVM. On a few rows that spends its time
    in planning and in compiling generated code. So generated code, adaptive planning and Delta's
    checksum files are off here. The tests that start jobs as processes (test_curate_kill and
    others) run with the settings of production.
    """
    from spark_jobs.runtime import session

    scratch = tmp_path_factory.mktemp("spark")
    settings = SparkSettings(
        engine=ENGINE,
        master="local[2]",
        memory="2g",
        shuffle_partitions=2,
        extra={
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
            "spark.local.dir": str(scratch / "local"),
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.adaptive.enabled": "false",
            "spark.databricks.delta.snapshotPartitions": "1",
            "spark.databricks.delta.writeChecksumFile.enabled": "false",
        },
    )
    yield session.start(settings, "seedbed-tests", str(scratch / "engine.log"))
    session.stop()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny") / "hf")


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder
