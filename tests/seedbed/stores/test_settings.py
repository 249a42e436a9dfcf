"""The options of object stores, as each reader of them wants them."""

from __future__ import annotations

import os

import pytest

from conf.errors import SeedbedError
from conf.schema.storage import StorageSettings
from seedbed.stores import settings

STORE = StorageSettings("http://host:9000", "eu-1")


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    """An environment without any of the variables, and as it was after the test."""
    kept = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(kept)


def test_what_a_config_gives_is_in_force_for_every_reader_of_the_process():
    settings.use(STORE)
    assert settings.current() == STORE
    assert settings.s3_options("bucket") == {
        "aws_endpoint": "http://host:9000",
        "aws_region": "eu-1",
        "allow_http": "true",
    }
    assert settings.sail_environment()["AWS_ENDPOINT"] == "http://host:9000"
    conf = settings.spark_conf()
    assert conf["spark.hadoop.fs.s3a.endpoint"] == "http://host:9000"
    assert conf["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert conf["spark.hadoop.fs.s3a.connection.ssl.enabled"] == "false"
    assert conf["spark.hadoop.fs.s3a.endpoint.region"] == "eu-1"
    assert conf["spark.executorEnv.AWS_ENDPOINT_URL"] == "http://host:9000"


def test_a_config_that_says_nothing_leaves_what_the_environment_says():
    os.environ["AWS_ENDPOINT_URL"] = "https://host"
    os.environ["AWS_DEFAULT_REGION"] = "eu-2"
    settings.use(StorageSettings())
    assert settings.current() == StorageSettings("https://host", "eu-2")
    # Sail knows other names for the same.
    assert os.environ["AWS_ENDPOINT"] == "https://host"
    assert os.environ["AWS_ALLOW_HTTP"] == "false"


def test_no_secret_is_rendered_into_a_config():
    os.environ |= {"AWS_ACCESS_KEY_ID": "key-1", "AWS_SECRET_ACCESS_KEY": "secret-1"}
    rendered = {**settings.spark_conf(STORE), **settings.delta_options("s3://bucket/x")}
    assert not {"key-1", "secret-1"} & set(rendered.values())


def test_a_bucket_may_be_the_first_part_of_the_host():
    settings.use(StorageSettings("https://host", "", path_style=False))
    assert settings.s3_options("bucket")["aws_endpoint"] == "https://bucket.host"
    assert settings.spark_conf()["spark.hadoop.fs.s3a.path.style.access"] == "false"
    with pytest.raises(SeedbedError, match="path_style"):
        settings.sail_environment()


def test_no_options_go_with_this_machine_or_hdfs():
    settings.use(STORE)
    assert settings.delta_options("/tmp/run") == settings.delta_options("hdfs://h/run") == {}
    assert settings.spark_conf(StorageSettings()) == {}


def test_an_endpoint_is_an_address():
    with pytest.raises(SeedbedError, match="is no address"):
        StorageSettings("host:9000").check()
