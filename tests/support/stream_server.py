"""A web server on this machine that does what a test tells it to: send, break off, fall silent, come back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Script = Callable[[BaseHTTPRequestHandler, int], None]
"""What the server does for a request: the handler, and the number of the request from 1."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    script: Script
    requests = 0
    closing = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        try:
            self.server.script(self, self.server.requests)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    """The server, started and stopped."""
    served = Server(("127.0.0.1", 0), Handler)
    served.closing = threading.Event()
    thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield served
    served.closing.set()
    served.shutdown()
    served.server_close()
    thread.join(2)


def address(server: Server, user: str = "") -> str:
    return f"http://{user}127.0.0.1:{server.server_port}/live"


def send(handler: BaseHTTPRequestHandler, data: bytes, *, stated: bool = False) -> None:
    """Answer with data; without a stated length it ends when the connection does, as a live stream's."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/octet-stream")
    if stated:
        handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
    handler.wfile.flush()
