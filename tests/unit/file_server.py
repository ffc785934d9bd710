"""A real HTTP server on 127.0.0.1 that serves files well and badly."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Answers by path; `requests` counts what was asked.

    Attributes:
        files: path → bytes that are served well.
        truncated: paths whose Content-Length promises ten bytes more than are sent.
        broken: path → HTTP status; a list is used up one a request, then the file is served.
        slow: path → seconds before the first byte.
        dripping: path → seconds between two bytes.
        unsized: paths that are answered without Content-Length.
    """

    def __init__(self):
        self.files, self.truncated, self.broken = {}, set(), {}
        self.slow, self.dripping, self.unsized = {}, {}, set()
        self.requests = Counter()
        self.url = ""

    def answer(self, handler):
        """Answer one GET."""
        path = handler.path.lstrip("/")
        self.requests[path] += 1
        time.sleep(self.slow.get(path, 0))
        status = self._status(path)
        body = self.files.get(path, b"") if status == 200 else b"sorry"
        handler.send_response(status)
        if path not in self.unsized:
            handler.send_header("Content-Length", str(len(body) + (10 if path in self.truncated else 0)))
        handler.end_headers()
        if path in self.dripping:
            for byte in body:
                handler.wfile.write(bytes([byte]))
                time.sleep(self.dripping[path])
        else:
            handler.wfile.write(body)

    def _status(self, path):
        broken = self.broken.get(path)
        if isinstance(broken, list):
            return broken.pop(0) if broken else 200
        return broken or (200 if path in self.files else 404)


@contextmanager
def serving():
    """A running FileServer."""
    files = FileServer()

    class Handler(BaseHTTPRequestHandler):
        """Hands each request to the FileServer."""

        def do_GET(self):
            """Answer."""
            try:
                files.answer(self)
            except (BrokenPipeError, ConnectionResetError):
                return  # the client had enough

        def log_message(self, *args):
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    files.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
