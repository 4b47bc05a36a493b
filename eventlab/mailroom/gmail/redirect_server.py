"""The loopback server that receives the code when the browser returns to it after consent."""

from __future__ import annotations

import contextlib
import io
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from eventlab.mailroom.errors import GmailFailed
from eventlab.mailroom.http_session import LimitedReader

SILENT_CONNECTION_SECONDS: Final = 2.0
VISIT_SECONDS: Final = 10.0  # for a whole request, however slowly it arrives
POLL_SECONDS: Final = 0.05
GIVEN_TEXT: Final = "Consent was given. You may close this window."
DENIED_TEXT: Final = "Consent was denied. You may close this window."
UNEXPECTED_TEXT: Final = "This is not the expected request."


class RedirectServer(socketserver.ThreadingTCPServer):
    """Waits for the request that contains the code, and responds with a 404 to any other request.

    Each connection has its own thread, so a slow connection delays neither the others nor the
    program that waits for the code.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _RedirectHandler)
        self.state = ""
        self._address = ""
        self._arrived = threading.Event()

    def handle_error(self, *_visitor: Any) -> None:
        """Ignore errors, such as a connection that is closed too early."""

    def arrive(self, address: str) -> None:
        """Store the URL that the browser returned to; only the first URL counts."""
        self._address = self._address or address
        self._arrived.set()

    def wait(self, seconds: float) -> str:
        """Return the URL that the browser returned to, or raise GmailFailed after ``seconds``."""
        serving = threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,), daemon=True)
        serving.start()
        try:
            arrived = self._arrived.wait(seconds)
        finally:
            self.shutdown()
        if not arrived:
            raise GmailFailed(
                f"Consent was not given within {seconds:g} seconds: try again, and "
                "give consent in the browser"
            )
        return self._address


class _RedirectHandler(BaseHTTPRequestHandler):
    timeout = SILENT_CONNECTION_SECONDS  # browsers open spare connections and send nothing on them
    server: RedirectServer

    def setup(self) -> None:
        super().setup()
        raw = self.rfile.detach()
        self.rfile = io.BufferedReader(LimitedReader(self.connection, raw, VISIT_SECONDS))

    def handle_one_request(self) -> None:
        with contextlib.suppress(OSError):  # a client that disconnects or is too slow
            super().handle_one_request()
            return
        self.close_connection = True

    def do_GET(self) -> None:
        query = query_of(self.path)
        expected = is_reply(query) and query["state"] == [self.server.state]
        given = GIVEN_TEXT if "code" in query else DENIED_TEXT
        text = given if expected else UNEXPECTED_TEXT
        self.send_response(200 if expected else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
        if expected:
            self.server.arrive(f"http://127.0.0.1{self.path}")

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, because the request line contains the code."""


def query_of(address: str) -> dict[str, list[str]]:
    """Return the query parameters of a URL, or an empty dict if the URL is not valid."""
    try:
        return parse_qs(urlsplit(address).query)
    except ValueError:
        return {}


def is_reply(query: dict[str, list[str]]) -> bool:
    """Return whether query parameters are Google's response to a request for consent."""
    return "state" in query and ("code" in query or "error" in query)
