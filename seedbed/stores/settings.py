"""The one place for options of object stores, and how each reader of them wants them.

The environment of a process holds what is in force, under the names that Amazon's tools use. A
program with a config calls `use` once, at its start. All else reads the environment. So a
notebook, a reader and an engine's own process see the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from conf.errors import SeedbedError
from conf.schema.storage import StorageSettings
from seedbed.stores.places import place

# A store that does not answer is an error within half a minute. The libraries' own limit is three.
MAX_RETRIES = 5
RETRY_S = 30
# One request, of 10 MB at most: a line of 3 Mbit/s is fast enough. The libraries' own value.
REQUEST_S = 30
CONNECT_S = 3
_VIRTUAL = "AWS_VIRTUAL_HOSTED_STYLE_REQUEST"


def use(settings: StorageSettings) -> None:
    """Put what `settings` give into the environment of this process and of its children.

    What they leave open stays as it is there, and is written under all names that readers know.
    """
    known = current()
    merged = StorageSettings(
        settings.endpoint or known.endpoint,
        settings.region or known.region,
        settings.path_style and known.path_style,
    )
    os.environ.update(_environment(merged))


def current(environment: Mapping[str, str] = os.environ) -> StorageSettings:
    """What is in force."""
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    return StorageSettings(
        endpoint or environment.get("AWS_ENDPOINT", ""),
        region or "",
        environment.get(_VIRTUAL, "").lower() != "true",
    )


def delta_options(uri: str) -> dict[str, str]:
    """The storage_options of delta-rs for a table at `uri`; none for this machine's disks."""
    where = place(uri)
    if where.scheme in ("", "hdfs"):
        return {}
    bounds = {
        "connect_timeout": f"{CONNECT_S}s",
        "timeout": f"{REQUEST_S}s",
        "max_retries": str(MAX_RETRIES),
        "retry_timeout": f"{RETRY_S}s",
    }
    return bounds | (s3_options(where.authority) if where.scheme == "s3" else {})


def s3_options(bucket: str) -> dict[str, str]:
    """Endpoint, region and style as the Rust library object_store names them."""
    settings = current()
    options = {"aws_region": settings.region or "us-east-1"}
    if settings.endpoint:
        endpoint = settings.endpoint.rstrip("/")
        if not settings.path_style:
            # It adds no bucket to an endpoint that is given.
            endpoint = endpoint.replace("://", f"://{bucket}.", 1)
        options |= {"aws_endpoint": endpoint, "allow_http": str(_is_http(settings)).lower()}
    if not settings.path_style:
        options["aws_virtual_hosted_style_request"] = "true"
    return options


def sail_environment(settings: StorageSettings | None = None) -> dict[str, str]:
    """What Sail's process needs beside the credentials in this environment.

    Raises SeedbedError where Sail cannot address buckets as `settings` ask.
    """
    settings = current() if settings is None else settings
    if settings.endpoint and not settings.path_style:
        raise SeedbedError(
            "storage.path_style=false with storage.endpoint is nothing that Sail can do",
            "set storage.path_style=true, or spark.engine=spark",
        )
    return _environment(settings)


def spark_conf(settings: StorageSettings | None = None) -> dict[str, str]:
    """The spark.* keys of Hadoop's S3A and of the executors' environment, without credentials.

    S3A reads the credentials from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or asks the machine.
    """
    settings = current() if settings is None else settings
    if settings == StorageSettings():
        return {}
    prefix = "spark.hadoop.fs.s3a."
    conf = {f"{prefix}path.style.access": str(settings.path_style).lower()}
    if settings.endpoint:
        conf[f"{prefix}endpoint"] = settings.endpoint
        conf[f"{prefix}connection.ssl.enabled"] = str(not _is_http(settings)).lower()
    if settings.region:
        conf[f"{prefix}endpoint.region"] = settings.region
    for name, value in _environment(settings).items():
        conf[f"spark.executorEnv.{name}"] = value
    return conf


def _environment(settings: StorageSettings) -> dict[str, str]:
    """The variables that say the same: Amazon's names, and those of object_store in Sail."""
    found = {}
    if settings.endpoint:
        # AWS_ENDPOINT is what Sail and older tools look at.
        found = {"AWS_ENDPOINT_URL": settings.endpoint, "AWS_ENDPOINT": settings.endpoint}
        found["AWS_ALLOW_HTTP"] = str(_is_http(settings)).lower()
    if settings.region:
        found |= {"AWS_REGION": settings.region, "AWS_DEFAULT_REGION": settings.region}
    if not settings.path_style:
        found[_VIRTUAL] = "true"
    return found


def _is_http(settings: StorageSettings) -> bool:
    return settings.endpoint.startswith("http://")
