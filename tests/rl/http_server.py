"""A stand-in for a vLLM server, which can be told to fail.

Its answers are a function of (policy, prompt, seed).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class State:
    """What the server holds.

    version: the name of its weights; a restart forgets it. sums: the checksums that it reports.
    fault: (number of a completion) -> what goes wrong with it.
    """

    def __init__(self) -> None:
        self.version, self.weights, self.loads, self.completions = "default", "first", 0, 0
        self.sums: dict[str, str] = {}
        self.fault: Callable[[int], str] = lambda number: ""
        self.lock = threading.Lock()

    def restart(self) -> None:
        self.version, self.weights = "default", "first"

    def answer(self, route: str, body: dict[str, Any]) -> Any:
        if route == "/v1/models":
            return {"data": [{"id": "policy"}]}
        if route == "/weight_info":
            return {"weight_version": self.version}
        if route == "/update_weight_version":
            self.version = body["new_version"]
            return {"success": True}
        if route == "/reset_prefix_cache":
            return {"success": True}
        if route == "/collective_rpc":
            if body["method"] == "seedbed_sums":
                return {"results": [self.sums]}
            self.loads, self.weights = self.loads + 1, body["args"][0]
            return {"results": [None]}
        token = sum(map(ord, self.weights)) + sum(body["prompt"]) + body["seed"]
        answer = {
            "token_ids": [token],
            "logprobs": {"token_logprobs": [-1.0]},
            "finish_reason": "stop",
            "text": "",
        }
        return {"choices": [answer]}


@contextmanager
def serving(state: State, port: int = 0) -> Iterator[str]:
    """The URL of a server in a thread of this process."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = json.loads(
                self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}"
            )
            fault = ""
            if self.path == "/v1/completions":
                with state.lock:
                    number, state.completions = state.completions, state.completions + 1
                    fault = state.fault(number)
            # As when the process dies: the connection closes in the middle of the answer.
            if fault == "cut":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
                self.close_connection = True
                return
            if fault == "restart":
                state.restart()
                self.close_connection = True
                return
            code, value = (
                (400, {"error": "too long"})
                if fault == "refuse"
                else (200, state.answer(self.path, body))
            )
            data = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
