"""Settings of object stores: where an S3 store answers, and how its buckets are addressed."""

from __future__ import annotations

from dataclasses import dataclass

from conf.errors import SeedbedError


@dataclass(frozen=True)
class StorageSettings:
    """How `s3://` is reached. Credentials come from the environment alone (docs/storage.md).

    What is empty stays as the environment has it: AWS_ENDPOINT_URL and AWS_REGION.
    """

    # The address of a store other than Amazon's. Plain HTTP is allowed where it says http://.
    endpoint: str = ""
    region: str = ""
    # The bucket is the first part of the path. Otherwise it is the first part of the host's name.
    path_style: bool = True

    def check(self) -> None:
        """Refuses an endpoint that is no address."""
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            raise SeedbedError(
                f"storage.endpoint={self.endpoint!r} is no address",
                "give one such as https://HOST or http://HOST:9000",
            )
