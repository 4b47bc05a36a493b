"""HTTP of the mailroom: a response ends in time, and proxies are used except to this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
import requests

from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.mailroom.cxone.settings import CXoneSettings
from eventlab.mailroom.errors import GmailFailed, MailroomError
from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.gmail.credentials import StoredCredentials
from eventlab.mailroom.gmail.google_http import MAX_RESPONSE_BYTES, GoogleHttp, ResponseTooLarge
from eventlab.mailroom.http_session import HttpSession
from tests.support.scripted_server import ScriptedServer

#: A drip ends by itself after this many pieces, which no client may wait for.
PIECES = 10_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


class Drip:
    """A response whose pieces come often enough for any socket's timeout; it counts them."""

    def __init__(self, start: bytes, piece: bytes) -> None:
        self.start = start
        self.piece = piece
        self.sent = list[int]()

    def __call__(self, _request: bytes) -> Iterator[bytes]:
        at = len(self.sent)
        self.sent.append(0)
        yield self.start
        for _ in range(PIECES):
            threading.Event().wait(0.01)
            yield self.piece
            self.sent[at] += 1


def drips() -> dict[str, Drip]:
    return {
        "the body": Drip(HEAD, b" "),
        "the headers": Drip(b"HTTP/1.1 200 OK\r\n", b"X-Padding: 1\r\n"),
        "one header": Drip(b"HTTP/1.1 200 OK\r\nX-Padding: ", b"1"),
        "the status line": Drip(b"HTTP/1.1 200 ", b"O"),
        "100 Continue": Drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    }


def gmail_credentials(token_uri: str, *, expired: bool = False) -> StoredCredentials:
    return StoredCredentials(
        "token",
        refresh_token="refresh",
        token_uri=token_uri,
        client_id="client",
        client_secret="secret",
        scopes=None,
        expiry=datetime(2000, 1, 1) if expired else None,
    )


def cxone_settings(url: str) -> CXoneSettings:
    return CXoneSettings(
        auth="legacy", url=url, key="app@vendor", secret="secret", point_of_contact="mail"
    )


def get(url: str) -> None:
    with HttpSession(timeout=(0.3, 0.3), max_seconds=0.3) as session:  # noqa: SIM117
        with session.send(requests.Request("GET", url)) as response:
            response.content  # noqa: B018 - reads it


def list_inbox(url: str) -> None:
    with GmailClient(
        gmail_credentials(url), endpoint=url, timeout=0.05, sleep=lambda _: None
    ) as gmail:
        next(gmail.pages(None))


def sign_in(url: str) -> None:
    with CXoneClient(cxone_settings(url), timeout=(0.3, 0.3), sleep=lambda _: None) as cxone:
        cxone.sign_in()


@pytest.mark.parametrize("dripping", drips())
@pytest.mark.parametrize("call", [get, list_inbox, sign_in])
def test_response_that_trickles_in_times_out(call: Callable[[str], None], dripping: str) -> None:
    drip = drips()[dripping]
    with (
        ScriptedServer(drip) as server,
        pytest.raises((requests.RequestException, OSError, MailroomError)),
    ):
        call(server.url)
    assert drip.sent
    assert max(drip.sent) < PIECES


def test_response_over_the_limit_is_not_read_to_its_end() -> None:
    sent = 0

    def flood(_request: bytes) -> Iterator[bytes]:
        nonlocal sent
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        for _ in range(64):
            yield bytes(1024 * 1024)
            sent += 1

    with ScriptedServer(flood) as server, pytest.raises(ResponseTooLarge):
        GoogleHttp(timeout=30).request(server.url)
    assert sent < 2 * MAX_RESPONSE_BYTES // (1024 * 1024)


# ---------------------------------------------------------------------------------------- the proxy


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A proxy for all hosts that rejects every connection."""
    with ScriptedServer(lambda _: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as server:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, server.url)
            monkeypatch.setenv(name.upper(), server.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


def remote_gmail() -> None:
    with GmailClient(
        gmail_credentials("https://oauth2.example.com/token"),
        endpoint="https://gmail.example.com",
        sleep=lambda _: None,
    ) as gmail:
        next(gmail.pages(None))


def remote_batch() -> None:
    with GmailClient(
        gmail_credentials("https://oauth2.example.com/token"),
        endpoint="https://gmail.example.com",
        sleep=lambda _: None,
    ) as gmail:
        gmail._transport.batch({"1": gmail._get("1", set())})
        raise GmailFailed("the batch has its errors as values")


def remote_renewal() -> None:
    gmail_credentials("https://oauth2.example.com/token", expired=True).refresh(None)


def remote_cxone() -> None:
    with CXoneClient(cxone_settings("https://api.example.com"), sleep=lambda _: None) as cxone:
        cxone.sign_in()


@pytest.mark.parametrize(
    ("call", "host"),
    [
        (remote_gmail, b"gmail.example.com"),
        (remote_batch, b"gmail.example.com"),
        (remote_renewal, b"oauth2.example.com"),
        (remote_cxone, b"api.example.com"),
    ],
)
def test_proxy_of_the_environment_is_used_and_gets_no_token(
    proxy: ScriptedServer, call: Callable[[], None], host: bytes
) -> None:
    with pytest.raises(MailroomError):
        call()
    assert proxy.requests
    for request in proxy.requests:
        assert request.startswith(b"CONNECT " + host + b":443 ")
        assert b"uthorization" not in request


def test_no_proxy_is_respected(proxy: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", ".example.com")
    monkeypatch.setenv("no_proxy", ".example.com")

    def unknown(*_args: object, **_options: object) -> None:
        raise socket.gaierror("unknown host")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(MailroomError):
        remote_renewal()
    assert proxy.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_proxy_is_not_used_for_this_machine(proxy: ScriptedServer, host: str) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with ScriptedServer(lambda _: answer) as server:
        response, body = GoogleHttp(timeout=5).request(server.url.replace("127.0.0.1", host))
    assert (response.status, body, proxy.requests) == (200, b"{}", [])
