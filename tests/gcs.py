"""A small server of Google Cloud Storage's XML API, since no emulator has all that we need of it.

It has objects with generations, preconditions, ranges, lists, and uploads in parts, as
cloud.google.com/storage/docs/xml-api describes them. Buckets are `full`, which takes all,
`readonly`, which refuses writes, and `locked`, which refuses everybody.

    python -m tests.gcs PORT KEY_FILE
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKETS = ("full", "readonly", "locked")
_DATE = "Tue, 01 Dec 2026 00:00:00 GMT"
_STAMP = "2026-12-01T00:00:00.000Z"


class Refused(Exception):
    """An answer of an error: HTTP status and the code in XML."""


class GoogleStore:
    """The objects of all buckets: (bucket, key) -> (generation, bytes)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.lock = threading.Lock()
        self._generations = itertools.count(1000)

    def put(self, place: tuple[str, str], data: bytes, wanted: str | None) -> int:
        """wanted: the generation that must be there, "0" for none, None for any."""
        with self.lock:
            there = self.objects.get(place, (0, b""))[0]
            if wanted is not None and int(wanted) != there:
                raise Refused(412, "PreconditionFailed")
            generation = next(self._generations)
            self.objects[place] = (generation, data)
            return generation

    def get(self, place: tuple[str, str]) -> tuple[int, bytes]:
        if place not in self.objects:
            raise Refused(404, "NoSuchKey")
        return self.objects[place]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: GoogleStore

    def log_message(self, *_: object) -> None:
        pass

    def _answer_to(self) -> None:
        path = urlsplit(self.path)
        bucket, _, key = unquote(path.path.lstrip("/")).partition("/")
        query = {k: v[0] for k, v in parse_qs(path.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if bucket not in BUCKETS:
                raise Refused(404, "NoSuchBucket")
            if bucket == "locked":
                raise Refused(401, "AuthenticationRequired")
            if bucket == "readonly" and self.command in ("PUT", "POST", "DELETE"):
                raise Refused(403, "AccessDenied")
            if not key:
                self._list(bucket, query)
            else:
                getattr(self, f"_{self.command.lower()}")((bucket, key), query, body)
        except Refused as refused:
            status, code = refused.args
            self._say(status, f"<Error><Code>{code}</Code></Error>".encode())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer_to

    def _say(self, status: int, body: bytes = b"", **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _get(self, place: tuple[str, str], query: dict[str, str], _: bytes) -> None:
        generation, data = self.store.get(place)
        status, asked, found = 200, self.headers.get("Range"), {}
        if asked and self.command == "GET":
            first, last = asked.removeprefix("bytes=").split("-")
            start = int(first) if first else len(data) - int(last)
            end = min(int(last) + 1, len(data)) if first and last else len(data)
            found["Content_Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            status, data = 206, data[start:end]
        self._say(status, data, Last_Modified=_DATE, **_version(generation), **found)

    _head = _get

    def _put(self, place: tuple[str, str], query: dict[str, str], body: bytes) -> None:
        if "uploadId" in query:
            self.store.parts[query["uploadId"]][int(query["partNumber"])] = body
            self._say(200, ETag=f'"{hashlib.md5(body).hexdigest()}"')
            return
        if source := self.headers.get("x-goog-copy-source"):
            bucket, _, key = unquote(source).lstrip("/").partition("/")
            body = self.store.get((bucket, key))[1]
        wanted = self.headers.get("x-goog-if-generation-match")
        self._say(200, **_version(self.store.put(place, body, wanted)))

    def _post(self, place: tuple[str, str], query: dict[str, str], _: bytes) -> None:
        if "uploads" in query:
            upload = f"upload-{len(self.store.parts)}"
            self.store.parts[upload] = {}
            said = f"<UploadId>{upload}</UploadId>"
            self._say(200, _xml("InitiateMultipartUploadResult", said))
            return
        parts = self.store.parts.pop(query["uploadId"])
        generation = self.store.put(place, b"".join(parts[n] for n in sorted(parts)), None)
        said = f"<ETag>{generation}</ETag>"
        self._say(200, _xml("CompleteMultipartUploadResult", said), **_version(generation))

    def _delete(self, place: tuple[str, str], query: dict[str, str], _: bytes) -> None:
        if "uploadId" not in query:
            self.store.get(place)
            del self.store.objects[place]
        self._say(204)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        prefix, cut = query.get("prefix", ""), query.get("delimiter", "")
        after = max(query.get("continuation-token", ""), query.get("start-after", ""))
        said, folders = [], set()
        with self.store.lock:
            found = sorted((k, o) for (b, k), o in self.store.objects.items() if b == bucket)
        for key, (generation, data) in found:
            if not key.startswith(prefix) or key <= after:
                continue
            name = key.removeprefix(prefix)
            if cut and cut in name:
                folders.add(prefix + name.partition(cut)[0] + cut)
                continue
            said.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><LastModified>"
                f'{_STAMP}</LastModified><ETag>"{generation}"</ETag></Contents>'
            )
        said += [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders]
        self._say(200, _xml("ListBucketResult", "".join(said)))


def _version(generation: int) -> dict[str, object]:
    return {"ETag": f'"{generation}"', "x_goog_generation": generation}


def _xml(name: str, inside: str) -> bytes:
    return f"<?xml version='1.0' encoding='UTF-8'?><{name}>{inside}</{name}>".encode()


@contextmanager
def serving(key_file: Path, port: int = 0) -> Iterator[GoogleStore]:
    """A running server; `key_file` gets what GOOGLE_SERVICE_ACCOUNT names."""
    handler = type("Handler", (_Handler,), {"store": GoogleStore()})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    base = f"http://127.0.0.1:{server.server_port}"
    empty = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    key_file.write_text(json.dumps({"gcs_base_url": base, "disable_oauth": True, **empty}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield handler.store
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    with serving(Path(sys.argv[2]), int(sys.argv[1])):
        print("ready", flush=True)
        threading.Event().wait()
