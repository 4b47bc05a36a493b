"""Consent: a person says yes in a browser, and the answer comes back over loopback or by hand."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socketserver
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
from eventlab.mailroom.urls import is_loopback

Asking = bool | Literal["paste-back"]
Show = Callable[[str], object]
Say = Callable[[str], object]
Ask = Callable[[str], str]

#: Nothing listens there, on any machine: the browser stops, and its address bar holds the answer.
NOWHERE: Final = "http://localhost:1/"
EXCHANGE_SECONDS: Final = 30.0
SLOW_VISITOR_SECONDS: Final = 2.0
#: They write the code, the client's secret and the token into the log at DEBUG.
TALKATIVE: Final = ("requests_oauthlib.oauth2_session", "google_auth_oauthlib.flow")
DONE: Final = "Consent was given. You may close this window."
DENIED: Final = "Consent was denied. You may close this window."
NOT_THIS: Final = "This is not the answer that is waited for."

show: Show = webbrowser.open


@dataclass(frozen=True)
class Consent:
    """What consent gave; ``ends`` is the access token's end, in seconds since 1970."""

    token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    scopes: tuple[str, ...]
    ends: float


def ask_for_consent(
    client: OAuthClient,
    scope: str,
    *,
    timeout_seconds: float,
    browser: Asking,
    port: int = 0,
    open_url: Show = show,
    say: Say = print,
    ask: Ask = input,
) -> Consent:
    """Ask a person for consent; the options are those of ``authorize``.

    Raises ``GmailFailed`` with a sentence for each way in which it does not come to a token.

    Example: ``ask_for_consent(OAuthClient.load("client_secret.json"), READONLY, timeout_seconds=180, browser=True)``
    """
    with _oauthlib_as_needed(client), _nothing_logged():
        if browser == "paste-back":
            return _paste_back(client, scope, say, ask)
        return _over_loopback(
            client, scope, timeout_seconds, port, open_url if browser else None, say
        )


def _paste_back(client: OAuthClient, scope: str, say: Say, ask: Ask) -> Consent:
    flow, url = _begin(client, scope, NOWHERE)
    say(f"Open this link in your browser and give consent:\n{url}")
    say(
        f"The page it ends at cannot be shown; that is right. Its address begins with {NOWHERE} and holds the answer."
    )
    try:
        came_back = ask("Paste the whole address here: ")
    except EOFError:
        raise GmailFailed(
            "there is nobody here to ask: give consent on a terminal, and bring the token file"
        ) from None
    if not _is_answer(_asked(came_back.strip())):
        raise GmailFailed(
            f"that holds no answer: paste the whole address, which begins with {NOWHERE}"
        )
    return _exchange(flow, came_back.strip())


def _over_loopback(
    client: OAuthClient,
    scope: str,
    timeout_seconds: float,
    port: int,
    open_url: Show | None,
    say: Say,
) -> Consent:
    try:
        server = _Catcher(("127.0.0.1", port), _Visitor)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise GmailFailed(
            f"port {port} is busy: name another one, or none, for the browser to come back to"
        ) from None
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
            "there is no browser here that can be opened: ask with browser=False and open the link on this machine "
            'yourself, or with browser="paste-back" and open it on another one'
        )


class _Catcher(socketserver.TCPServer):
    """Waits for the one visit that brings the answer; favicons and port scans are turned away and end nothing."""

    state = ""
    answer: str | None = None

    def wait(self, seconds: float) -> str:
        end = time.monotonic() + seconds
        while self.answer is None:
            self.timeout = end - time.monotonic()
            if self.timeout <= 0:
                raise GmailFailed(
                    f"no consent came within {seconds:g} seconds: ask again, and answer in the browser"
                )
            self.handle_request()
        return self.answer


class _Visitor(BaseHTTPRequestHandler):
    timeout = SLOW_VISITOR_SECONDS  # browsers open connections ahead, and say nothing on them
    server: _Catcher

    def do_GET(self) -> None:
        asked = _asked(self.path)
        ours = _is_answer(asked) and asked["state"] == [self.server.state]
        if ours:
            self.server.answer = f"http://127.0.0.1{self.path}"
        text = (DONE if "code" in asked else DENIED) if ours else NOT_THIS
        self.send_response(200 if ours else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the line holds the code."""


def _asked(address: str) -> dict[str, list[str]]:
    """Give what an address asks for; nothing, if it is none."""
    try:
        return parse_qs(urlsplit(address).query)
    except ValueError:
        return {}


def _is_answer(asked: dict[str, list[str]]) -> bool:
    return "state" in asked and ("code" in asked or "error" in asked)


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
    # without prompt=consent a second consent brings no refresh token
    url, _state = flow.authorization_url(access_type="offline", prompt="consent")
    return flow, url


def _exchange(flow: Any, came_back: str) -> Consent:
    """Turn the address that the browser came back to into tokens."""
    session = flow.oauth2session
    if is_loopback(flow.client_config["token_uri"]):
        session.trust_env = False
    # oauthlib wants https in the address, where no request is made any more
    address = came_back.replace("http:", "https:", 1)
    try:
        with session:
            token = flow.fetch_token(authorization_response=address, timeout=EXCHANGE_SECONDS)
        return _answer(token)
    except (OAuth2Error, requests.RequestException, ValueError) as error:
        raise GmailFailed(_sentence(error)) from None  # from None: the cause may quote the code


def _answer(token: Any) -> Consent:
    if not token.get("refresh_token"):
        raise GmailFailed(
            "Google gave no refresh token: remove this app's access in the account's settings, then ask again"
        )
    scopes = token.get("scope") or []
    given = tuple(scopes.split() if isinstance(scopes, str) else scopes)
    return Consent(
        token["access_token"],
        token["refresh_token"],
        given,
        float(token.get("expires_at") or time.time()),
    )


def _sentence(error: Exception) -> str:
    again = "ask for consent again"
    if isinstance(error, AccessDeniedError):
        return f"consent was denied: without it no mail can be read; {again} if that was a mistake"
    if isinstance(error, MismatchingStateError):
        return f"the answer belongs to another request (an older link, perhaps): {again}, and use the newest link"
    if isinstance(error, InvalidGrantError):
        return f"the answer was used before, or came too late: {again}"
    if isinstance(error, InvalidClientError):
        return f"Google does not know the client of the client file, or not its secret: download it again, then {again}"
    if isinstance(error, requests.RequestException):
        return f"Google could not be asked for the token ({type(error).__name__}): {again} later"
    return (
        f"Google gave no token ({getattr(error, 'error', None) or type(error).__name__}): {again}"
    )


@contextlib.contextmanager
def _oauthlib_as_needed(client: OAuthClient) -> Iterator[None]:
    """Switch oauthlib's two checks by its environment variables, for as long as the block lasts."""
    # A narrower consent would raise a bare Warning; who calls us looks at the scopes instead.
    switches = {"OAUTHLIB_RELAX_TOKEN_SCOPE": "1"}
    if is_loopback(client.auth_uri) and is_loopback(client.token_uri):
        switches["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    before = {name: os.environ.get(name) for name in switches}
    os.environ.update(switches)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _nothing_logged() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    for logger in loggers:
        logger.addFilter(_nothing)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_nothing)


def _nothing(_record: logging.LogRecord) -> bool:
    return False
