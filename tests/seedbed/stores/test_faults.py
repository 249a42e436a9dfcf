"""What a store refuses is one error with a fix, and it comes soon."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

import seedbed
from conf.errors import SeedbedError
from seedbed import storage
from seedbed.stores import objects
from seedbed.stores.run_lock import writing
from seedbed.tables.opening import open_table


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
        (404, "XAdminUserNotFound", "does not accept the credentials", "AWS_ACCESS_KEY_ID"),
        (301, "PermanentRedirect", "another region", "storage.region"),
    ],
)
def test_a_refusal_says_what_to_correct(s3, refusing, status, code, problem, fix):
    refusing(status, code)
    with pytest.raises(SeedbedError, match=problem) as error, writing(s3.root):
        pass
    assert fix in error.value.fix
    assert "\n" not in error.value.problem


@pytest.mark.parametrize("code", ["XAdminUserNotFound", "SomethingElse"])
def test_a_404_that_is_not_of_an_object_is_no_missing_file(s3, refusing, code):
    refusing(404, code)
    with pytest.raises(SeedbedError):
        storage.read_text(s3.root, "x")


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


@pytest.mark.parametrize(
    ("bucket", "problem"),
    [
        ("nobody", "there is no such bucket"),
        ("readonly", "read-only for these credentials"),
        ("locked", "does not accept the credentials"),
    ],
)
def test_google_says_the_same(gs, bucket, problem):
    root = gs.replace("full", bucket)
    for work in (
        lambda: writing(root).__enter__(),
        lambda: storage.write_text(root, "x", ""),
        lambda: upload(root, 1),
        lambda: upload(root, 30),
    ):
        with pytest.raises(SeedbedError, match=problem) as error:
            work()
        assert "\n" not in error.value.problem


def upload(root: str, pieces: int) -> None:
    with storage.files_of(root).open_writer("big.bin", "7") as stream:
        for number in range(pieces):
            stream.write(bytes([number]) * 400_000)


@pytest.mark.parametrize("pieces", [1, 30])
def test_an_upload_that_is_refused_at_any_part_is_one_error(s3, refusing, pieces):
    """A stream tells it by an OSError, at the part or at its end."""
    refusing(403, "AccessDenied")
    with pytest.raises(SeedbedError, match="read-only"):
        upload(s3.root, pieces)


def test_a_fault_of_the_writer_itself_is_not_told_as_one_of_the_store(s3):
    with (
        pytest.raises(FileNotFoundError, match="my own"),
        storage.files_of(s3.root).open_writer("big.bin", "7"),
    ):
        raise FileNotFoundError("my own")


def test_a_write_finds_out_that_the_bucket_is_missing(s3, refusing):
    with pytest.raises(SeedbedError, match="there is no such bucket"):
        storage.write_text("s3://bucket-of-nobody/run", "x", "")
    with pytest.raises(SeedbedError, match="there is no such bucket"):
        upload("s3://bucket-of-nobody/run", 1)
    # Others tell it by the status alone.
    refusing(404, "notFound")
    with pytest.raises(SeedbedError, match="there is no such bucket"):
        storage.write_text(s3.root, "x", "")


def test_an_object_that_is_gone_already_is_deleted(s3, monkeypatch):
    """Google's and Azure's stores answer 404 where S3 says that it is done."""
    files = storage.files_of(s3.root)
    for name in ("a", "b"):
        files.write(f"folder/{name}", b"x")
    delete, gone = files._store.delete, []

    def as_google(keys):
        for key in [keys] if isinstance(keys, str) else keys:
            if not gone:
                gone.append(key)
                delete(key)
                raise FileNotFoundError(f"404: {key}")
            delete(key)

    files._store = SimpleNamespace(delete=as_google, list=files._store.list)
    files.delete_folder("folder")
    assert files.list("folder", recurse=True) == []
    gone.clear()
    files.delete("folder/a")
    assert len(gone) == 1


def test_a_store_that_takes_requests_and_never_answers_is_one_error(s3, monkeypatch):
    monkeypatch.setattr(objects, "REQUEST_S", 1)
    monkeypatch.setattr(objects, "RETRY_S", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(SeedbedError, match="does not answer") as error, writing(s3.root):
            pass
    assert "AWS_ENDPOINT_URL" in error.value.fix


@pytest.mark.parametrize(
    ("file", "told"),
    [("{", "EOF"), ('{"type": "nothing"}', "nothing")],
)
def test_a_key_file_of_google_that_cannot_be_read_is_one_error(monkeypatch, tmp_path, file, told):
    (tmp_path / "key.json").write_text(file)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    with pytest.raises(SeedbedError, match="credentials cannot be read") as error:
        storage.read_text("gs://bucket/run", "x")
    assert told in error.value.problem
    assert "GOOGLE_APPLICATION_CREDENTIALS" in error.value.fix
    with pytest.raises(SeedbedError, match="credentials cannot be read"):
        open_table("gs://bucket/run/tables/files")


def test_a_key_of_azure_that_is_none_is_one_error(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "not base64!")
    with pytest.raises(SeedbedError, match="credentials cannot be read") as error:
        storage.read_text("abfss://files@account.dfs.core.windows.net/run", "x")
    assert "AZURE_STORAGE_ACCOUNT_KEY" in error.value.fix
    with pytest.raises(SeedbedError, match="credentials cannot be read"):
        open_table("abfss://files@account.dfs.core.windows.net/run/tables/files")


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
