"""What a store refuses is one error with a fix, and it comes soon."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import seedbed
from conf.errors import SeedbedError
from seedbed import storage
from seedbed.stores.run_lock import writing


@pytest.fixture
def refusing(s3, monkeypatch):
    """Puts a server in place of the store that answers everything with one status and code."""
    servers = []

    def start(status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()

        class Refusal(BaseHTTPRequestHandler):
            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

            def log_message(self, *_):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Refusal))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{servers[-1].server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "problem", "fix"),
    [
        (403, "InvalidAccessKeyId", "does not accept the credentials", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "does not accept the credentials", "AWS_SECRET_ACCESS_KEY"),
        (403, "AccessDenied", "read-only", "permit these credentials"),
        (301, "PermanentRedirect", "another region", "storage.region"),
    ],
)
def test_a_refusal_says_what_to_correct(s3, refusing, status, code, problem, fix):
    refusing(status, code)
    with pytest.raises(SeedbedError, match=problem) as error, writing(s3.root):
        pass
    assert fix in error.value.fix
    assert "\n" not in error.value.problem


def test_a_bucket_that_does_not_exist_is_told_from_an_empty_run(s3):
    with pytest.raises(SeedbedError, match="there is no such bucket"):
        storage.read_text("s3://bucket-of-nobody/run", "x")
    with (
        pytest.raises(SeedbedError, match="there is no such bucket"),
        writing("s3://bucket-of-nobody"),
    ):
        pass
    with pytest.raises(SeedbedError, match="there is no such bucket"):
        seedbed.open("s3://bucket-of-nobody/run")
    with pytest.raises(SeedbedError, match="no tables under"):
        seedbed.open(s3.root)


def test_a_store_that_is_not_there_is_an_error_and_no_wait_of_minutes(s3, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(SeedbedError, match="does not answer") as error, writing(s3.root):
            pass
    assert "AWS_ENDPOINT_URL" in error.value.fix


def test_http_has_to_be_asked_for_by_the_endpoint(s3, monkeypatch):
    monkeypatch.setenv(
        "AWS_ENDPOINT_URL", s3.environment["AWS_ENDPOINT_URL"].replace("http", "https")
    )
    with pytest.raises(SeedbedError, match="does not answer"):
        storage.read_text(s3.root, "x")
