"""What an object store answers where it refuses, as one error with a fix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from conf.errors import SeedbedError
from seedbed.stores.places import Place

_ADDRESS = "check storage.endpoint (or AWS_ENDPOINT_URL) and the network"
# What a store says -> (what that means, the fix). The first that is found counts. The words are
# S3's error codes, those of Google and Azure, and what the Rust clients say of the network.
_KNOWN = (
    (
        "169.254.169.254|metadata.google.internal|No credential",
        "no credentials were found",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (s3), GOOGLE_APPLICATION_CREDENTIALS (gs) "
        "or AZURE_STORAGE_ACCOUNT_KEY (abfss), or give this machine a role",
    ),
    (
        "InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|AuthenticationFailed|"
        "401 Unauthorized|Unauthenticated|XAdminUserNotFound",
        "the store does not accept the credentials",
        "correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (or those of the "
        "other store) in the environment",
    ),
    (
        "AccessDenied|403 Forbidden|AuthorizationFailure|AuthorizationPermissionMismatch|"
        "MethodNotAllowed",
        "the store does not permit it: it is read-only for these credentials, or forbids them",
        "permit these credentials to list, read, write and delete there, or choose another place",
    ),
    (
        "NoSuchBucket|ContainerNotFound|bucket does not exist",
        "there is no such bucket",
        "create it, or correct its name",
    ),
    (
        "AuthorizationHeaderMalformed|PermanentRedirect|IllegalLocationConstraint|without LOCATION",
        "the bucket is in another region",
        "set storage.region (or AWS_REGION) to that of the bucket",
    ),
    (
        "InvalidBucketName",
        "this is no name of a bucket",
        "give a URI such as s3://BUCKET/PATH",
    ),
    ("dns error|failed to lookup", "the store's host is unknown", _ADDRESS),
    (
        "onnection refused|tcp connect error|timed out|error sending request|client error",
        "the store does not answer",
        _ADDRESS,
    ),
    (
        "allow_http|scheme is not https|URL scheme is not allowed|builder error",
        "plain http is not allowed",
        "give an endpoint that begins with https://, or set it by storage.endpoint=http://HOST",
    ),
)

# The codes with which a 404 says that an object is missing. Any other code tells of something else:
# versitygw answers 404 to an unknown key.
_NO_OBJECT = ("NoSuchKey", "BlobNotFound", "ResourceNotFound", "PathNotFound", "notFound")

# What the libraries say of credentials that are there and have no proper form.
_BAD_KEY = "ecode service account|DecodeCredentials|Invalid Access Key:"


def plain_fault(where: Place | str, error: Exception) -> SeedbedError:
    """The refusal of a store as an error with a fix."""
    # delta-rs breaks a chain of causes into lines, with colours between.
    text = f"{error}\n{_said(str(error))}"
    if re.search(_BAD_KEY, text):
        return SeedbedError(
            f"{where}: the credentials cannot be read: {_said(str(error)) or type(error).__name__}",
            "correct GOOGLE_APPLICATION_CREDENTIALS (gs: the path of a key file of Google's) or "
            "AZURE_STORAGE_ACCOUNT_KEY (abfss: base64)",
        )
    for pattern, meaning, fix in _KNOWN:
        if re.search(pattern, text):
            return SeedbedError(f"{where}: {meaning}", fix)
    return SeedbedError(
        f"{where}: the store failed: {_said(str(error)) or type(error).__name__}",
        "run the same command again: what is there stays",
    )


def _said(text: str) -> str:
    """What a library says on one line: obstore's first, or delta-rs's chain of causes."""
    lines = [re.sub(r"\x1b\[\d+m", "", line).strip() for line in text.splitlines()]
    said = next((line for line in lines if line), "")
    causes = [line.lstrip("↳ ") for line in lines if line.startswith("↳")]
    return ": ".join([said, *causes])[:300]


@contextmanager
def guarded(where: Place | str) -> Iterator[None]:
    """Turns what obstore raises inside the block into a SeedbedError.

    Raises FileNotFoundError where an object is missing, and not its bucket or a user.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        code = re.search(r"<Code>(\w+)</Code>", str(error))
        if code and code.group(1) not in _NO_OBJECT:
            raise plain_fault(where, error) from error
        raise FileNotFoundError(f"{where} has no such file") from error
    except BaseError as error:
        raise plain_fault(where, error) from error


@contextmanager
def writing_to(where: Place) -> Iterator[None]:
    """Turns what obstore raises for a write inside the block into a SeedbedError.

    Only the bucket can be missing then. What a stream raises is a plain OSError.
    """
    try:
        with guarded(where):
            yield
    except FileNotFoundError as error:
        raise SeedbedError(
            f"{where}: there is no such bucket", "create it, or correct its name"
        ) from error
    except OSError as error:
        raise plain_fault(where, error) from error
