"""Consent: an operator allows access in a browser; the code returns over loopback or by hand."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import re
import socketserver
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

import requests
from google_auth_oauthlib.flow import InstalledAppFlow
from oauthlib.oauth2 import OAuth2Error
from oauthlib.oauth2.rfc6749.errors import (
    AccessDeniedError,
    InvalidClientError,
    InvalidGrantError,
    MismatchingStateError,
)

from eventlab.mailroom.errors import GmailFailed
from eventlab.mailroom.gmail.client_file import OAuthClient
from eventlab.mailroom.http_session import LimitedAdapter, LimitedReader
from eventlab.mailroom.urls import is_loopback

BrowserMode = bool | Literal["paste-back"]
Show = Callable[[str], object]
Say = Callable[[str], object]
Ask = Callable[[str], str]

#: Nothing listens there, on any machine: the browser stops, and its address bar holds the code.
NOWHERE: Final = "http://localhost:1/"
EXCHANGE_TIMEOUT_SECONDS: Final = 30.0
SILENT_CONNECTION_SECONDS: Final = 2.0
VISIT_SECONDS: Final = 10.0  # for a whole request, however slowly it drips
POLL_SECONDS: Final = 0.05
#: These loggers write the code, the client's secret and the token at DEBUG.
LEAKING_LOGGERS: Final = ("requests_oauthlib.oauth2_session", "google_auth_oauthlib.flow")
GIVEN_TEXT: Final = "Consent was given. You may close this window."
DENIED_TEXT: Final = "Consent was denied. You may close this window."
UNEXPECTED_TEXT: Final = "This is not the expected request."

show: Show = webbrowser.open


@dataclass(frozen=True)
class Consent:
    """The tokens that Google issued after consent; ``expires_at`` is in seconds since 1970."""

    token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    scopes: tuple[str, ...]
    expires_at: float


def ask_for_consent(
    client: OAuthClient,
    scope: str,
    *,
    timeout_seconds: float,
    browser: BrowserMode,
    port: int = 0,
    open_url: Show = show,
    say: Say = print,
    ask: Ask = input,
) -> Consent:
    """Ask an operator for consent and return the tokens; the options are those of ``authorize``.

    Raises ``GmailFailed`` if consent is denied, does not come in time, or cannot be exchanged.
    """
    with _oauthlib_environment(client), _leaking_loggers_off():
        if browser == "paste-back":
            return _paste_back(client, scope, say, ask)
        return _over_loopback(
            client, scope, timeout_seconds, port, open_url if browser else None, say
        )


def _paste_back(client: OAuthClient, scope: str, say: Say, ask: Ask) -> Consent:
    flow, url = _begin(client, scope, NOWHERE)
    say(f"Open this link in your browser and give consent:\n{url}")
    say(
        "At the end the browser shows an error, which is expected: "
        f"the address of that page begins with {NOWHERE} and holds the code."
    )
    try:
        address = ask("Paste the whole address here: ").strip()
    except EOFError:
        raise GmailFailed(
            "There is no terminal to ask on: give consent on a machine that has one, "
            "and copy the token file"
        ) from None
    if not _is_reply(_query(address)):
        raise GmailFailed(
            f"The pasted text holds no code: paste the whole address, which begins with {NOWHERE}"
        )
    return _exchange(flow, address)


def _over_loopback(
    client: OAuthClient,
    scope: str,
    timeout_seconds: float,
    port: int,
    open_url: Show | None,
    say: Say,
) -> Consent:
    try:
        server = _RedirectServer(port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise GmailFailed(f"Port {port} is in use: choose another port, or leave it out") from None
    with server:
        flow, url = _begin(client, scope, f"http://127.0.0.1:{server.server_address[1]}/")
        server.state = parse_qs(urlsplit(url).query)["state"][0]
        if open_url is None:
            say(f"Open this link in a browser on this machine and give consent:\n{url}")
        else:
            _open(open_url, url)
        return _exchange(flow, server.wait(timeout_seconds))


def _open(open_url: Show, url: str) -> None:
    try:
        opened = open_url(url)
    except webbrowser.Error:
        opened = False
    if opened is False:
        raise GmailFailed(
            "No browser can be opened here: use browser=False and open the link on this machine "
            'yourself, or browser="paste-back" and open it on another machine'
        )


class _RedirectServer(socketserver.ThreadingTCPServer):
    """Waits for the one request that brings the code; favicons and port scans get a 404.

    Each visitor has a thread, so that none of them delays another one or the end of the wait.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _RedirectHandler)
        self.state = ""
        self._address = ""
        self._arrived = threading.Event()

    def handle_error(self, *_visitor: Any) -> None:
        """Print nothing about a visitor that hangs up."""

    def arrive(self, address: str) -> None:
        """Keep the address that the browser returned to; only the first one counts."""
        self._address = self._address or address
        self._arrived.set()

    def wait(self, seconds: float) -> str:
        """Return the address that the browser returned to; raise GmailFailed if it is late."""
        serving = threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,), daemon=True)
        serving.start()
        try:
            arrived = self._arrived.wait(seconds)
        finally:
            self.shutdown()
        if not arrived:
            raise GmailFailed(
                f"Consent was not given within {seconds:g} seconds: "
                "ask again, and answer in the browser"
            )
        return self._address


class _RedirectHandler(BaseHTTPRequestHandler):
    timeout = SILENT_CONNECTION_SECONDS  # browsers open spare connections and send nothing on them
    server: _RedirectServer

    def setup(self) -> None:
        super().setup()
        raw = self.rfile.detach()
        self.rfile = io.BufferedReader(LimitedReader(self.connection, raw, VISIT_SECONDS))

    def handle_one_request(self) -> None:
        with contextlib.suppress(OSError):  # a visitor that hangs up, or drips
            super().handle_one_request()
            return
        self.close_connection = True

    def do_GET(self) -> None:
        query = _query(self.path)
        expected = _is_reply(query) and query["state"] == [self.server.state]
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
        """Log nothing: the line holds the code."""


def _query(address: str) -> dict[str, list[str]]:
    """Return the query of an address, or nothing if it is not an address."""
    try:
        return parse_qs(urlsplit(address).query)
    except ValueError:
        return {}


def _is_reply(query: dict[str, list[str]]) -> bool:
    return "state" in query and ("code" in query or "error" in query)


def _begin(client: OAuthClient, scope: str, redirect_uri: str) -> tuple[Any, str]:
    config = {
        "client_id": client.id,
        "client_secret": client.secret,
        "auth_uri": client.auth_uri,
        "token_uri": client.token_uri,
    }
    flow = InstalledAppFlow.from_client_config(
        {"installed": config}, [scope], redirect_uri=redirect_uri
    )
    # without prompt=consent, a second consent returns no refresh token
    url, _state = flow.authorization_url(access_type="offline", prompt="consent")
    return flow, url


def _exchange(flow: Any, address: str) -> Consent:
    """Exchange the code in the address that the browser returned to for tokens."""
    session = flow.oauth2session
    if is_loopback(flow.client_config["token_uri"]):
        session.trust_env = False
    session.max_redirects = 0  # another server must not get the code
    for scheme in ("http://", "https://"):
        session.mount(scheme, LimitedAdapter(max_seconds=EXCHANGE_TIMEOUT_SECONDS))
    # oauthlib insists on https in this address, although no request goes there any more
    as_https = address.replace("http:", "https:", 1)
    try:
        with session:
            token = flow.fetch_token(
                authorization_response=as_https, timeout=EXCHANGE_TIMEOUT_SECONDS
            )
        return _consent(token)
    except (OAuth2Error, requests.RequestException, ValueError) as error:
        raise GmailFailed(
            _exchange_message(error)
        ) from None  # from None: the cause may quote the code


def _consent(token: Any) -> Consent:
    if not token.get("refresh_token"):
        raise GmailFailed(
            "Google returned no refresh token: remove this app's access in the account's settings, "
            "then ask again"
        )
    scopes = token.get("scope") or []
    granted = tuple(scopes.split() if isinstance(scopes, str) else scopes)
    return Consent(
        token["access_token"],
        token["refresh_token"],
        granted,
        float(token.get("expires_at") or time.time()),
    )


def _exchange_message(error: Exception) -> str:
    if isinstance(error, AccessDeniedError):
        return (
            "Consent was denied, and no mail can be read without it: "
            "ask for consent again if that was a mistake"
        )
    if isinstance(error, MismatchingStateError):
        return (
            "The reply belongs to another request, perhaps to an older link: "
            "ask for consent again, and use the newest link"
        )
    if isinstance(error, InvalidGrantError):
        return "The code was used before or has expired: ask for consent again"
    if isinstance(error, InvalidClientError):
        return (
            "Google does not accept the client file's client id or secret: "
            "download the file again, then ask for consent again"
        )
    if isinstance(error, requests.TooManyRedirects):
        return (
            "Google redirected the token request to another address, which is not followed: "
            "download the client file again, then ask for consent again"
        )
    if isinstance(error, requests.RequestException):
        return (
            f"The token request to Google failed ({type(error).__name__}): "
            "ask for consent again later"
        )
    # The code may come from whoever sent the browser here: only a word of OAuth's kind is shown.
    code = str(getattr(error, "error", None) or "")
    if not re.fullmatch(r"[A-Za-z_]{1,60}", code):
        code = type(error).__name__
    return f"Google returned no token ({code}): ask for consent again"


@contextlib.contextmanager
def _oauthlib_environment(client: OAuthClient) -> Iterator[None]:
    """Set the environment variables for two of oauthlib's checks while the block runs."""
    # A narrower consent would raise a bare Warning; our caller checks the scopes instead.
    variables = {"OAUTHLIB_RELAX_TOKEN_SCOPE": "1"}
    if is_loopback(client.auth_uri) and is_loopback(client.token_uri):
        variables["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _leaking_loggers_off() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LEAKING_LOGGERS]
    for logger in loggers:
        logger.addFilter(_drop)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_drop)


def _drop(_record: logging.LogRecord) -> bool:
    return False
