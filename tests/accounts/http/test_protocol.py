"""Connections: small packets, limits on time, size and number, clients that hang up."""

from __future__ import annotations

import asyncio
import resource
import socket

import psutil
import pytest
import requests

from eventlab.accounts import AccountService
from eventlab.accounts.http import protocol, schemas
from eventlab.accounts.http.app import create_app
from eventlab.accounts.http.listener import CannotListen, listen
from eventlab.lessons.ports import free_port
from eventlab.sandbox.serving import Serving
from eventlab.servers import Lab
from tests.support.accounts_api import JSON, exchange, in_a_thread, serving
from tests.support.waiting import wait_until

POST = b"POST /accounts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b" " * 0x10000 + b"\r\n"


class SocketApp:
    """An ASGI app that serves nothing; the tests examine its connections."""

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        raise NotImplementedError


def no_delay(listener: socket.socket) -> int:
    """Return TCP_NODELAY of a connection that a server accepts."""
    with socket.create_connection(listener.getsockname()[:2]), listener.accept()[0] as accepted:
        return accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_accepted_connection_sends_small_packets_at_once() -> None:
    for listener in listen("localhost", free_port()):
        with listener:
            listener.listen()
            assert no_delay(listener) != 0
            assert listener.proto == socket.IPPROTO_TCP  # what asyncio looks at


def test_connection_of_the_sandbox_sends_small_packets_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def made(self: asyncio.Protocol, transport: asyncio.Transport) -> None:
        connection = transport.get_extra_info("socket")
        seen.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        transport.abort()

    monkeypatch.setattr("uvicorn.protocols.http.h11_impl.H11Protocol.connection_made", made)
    with Serving(SocketApp()) as serving_app:
        host, _, port = serving_app.url.removeprefix("http://").rpartition(":")
        socket.create_connection((host, int(port))).close()
        assert wait_until(lambda: seen) != [0]


def test_listen_names_an_address_that_cannot_be_used() -> None:
    with pytest.raises(CannotListen, match=r"cannot listen on 'no\.such\.host\.invalid', "):
        listen("no.such.host.invalid", 8444)
    with pytest.raises(CannotListen, match="it is not a host name"):
        listen("a" * 64 + ".example", 8444)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time limit of a header; a busy client needs some of it to send one."""
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 3.0)


@pytest.fixture
def hurried_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time limit of a body; the header and the response have the usual time."""
    for module in (protocol, schemas):
        monkeypatch.setattr(module, "BODY_SECONDS", 0.5)


@pytest.mark.usefixtures("hurried")
def test_silent_connection_is_closed(service: AccountService) -> None:
    with in_a_thread(create_app(service)) as url:
        assert exchange(url) == b""


@pytest.mark.usefixtures("hurried")
def test_slow_header_is_cut_with_408(service: AccountService) -> None:
    with in_a_thread(create_app(service)) as url:
        answered = exchange(url, b"GET /healthz HTTP/1.1\r\nHost: ")
        assert answered.startswith(b"HTTP/1.1 408 ")
        assert answered.endswith(b'{"errorMessage":"the header did not arrive within 3 seconds"}')


@pytest.mark.usefixtures("hurried")
def test_slow_header_is_cut_although_bytes_arrive(service: AccountService) -> None:
    with in_a_thread(create_app(service)) as url:
        host, _, port = url.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\n")

            def is_cut() -> bool:
                try:
                    client.sendall(b"X")
                    client.setblocking(False)
                    return client.recv(1) == b"H"
                except BlockingIOError:
                    return False
                except (BrokenPipeError, ConnectionResetError):
                    return True
                finally:
                    client.settimeout(30)

            assert wait_until(is_cut)


@pytest.mark.usefixtures("hurried_body")
def test_slow_body_is_cut_with_408(service: AccountService) -> None:
    with in_a_thread(create_app(service)) as url:
        answered = exchange(url, POST + b'Content-Length: 10\r\n\r\n{"id"')
        assert answered.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answered.lower()


@pytest.mark.usefixtures("hurried_body")
def test_slow_body_that_no_route_reads_is_cut(service: AccountService) -> None:
    with in_a_thread(create_app(service)) as url:
        answered = exchange(url, b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert answered.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("head", [POST, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"])
def test_endless_body_is_cut(service: AccountService, head: bytes) -> None:
    with in_a_thread(create_app(service)) as url:
        host, _, port = url.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(head + CHUNKED)
            assert bytes_taken(client, 10 * schemas.MAX_DISCARDED_BYTES) is None


def bytes_taken(client: socket.socket, limit: int) -> int | None:
    """Send chunks; return how many bytes the server accepts, or None if it closes early."""
    sent = 0
    while sent < limit:
        try:
            client.sendall(CHUNK)
        except (BrokenPipeError, ConnectionResetError):
            return None
        sent += len(CHUNK)
    return sent


@pytest.mark.usefixtures("hurried")
def test_idle_connection_outlives_the_limit_of_a_header(service: AccountService) -> None:
    with in_a_thread(create_app(service)) as url, requests.Session() as session:
        assert session.get(f"{url}/healthz", timeout=30).ok
        assert exchange(url) == b""  # another connection, which is closed after that time
        assert session.get(f"{url}/healthz", timeout=30).ok


def test_client_that_hangs_up_leaves_no_traceback(lab: Lab, category: str) -> None:
    with serving(lab, category) as api:
        with socket.create_connection(("127.0.0.1", api.port)) as client:
            client.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        assert api.get("/healthz").ok
    assert "Traceback" not in "".join(api.output)


def test_service_accepts_more_connections_than_the_usual_limit_of_files(
    lab: Lab, category: str
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Other tests may have left files open in this process, which needs a few more to start another.
    mine = psutil.Process().num_fds()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(mine + 250, hard), hard))
    try:
        with serving(lab, category) as api:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            count = mine + 400
            half_open = [socket.create_connection(("127.0.0.1", api.port)) for _ in range(count)]
            for client in half_open:
                client.sendall(b"GET /healthz HTTP/1.1\r\n")
            assert api.get("/healthz").ok
            for client in half_open:
                client.close()
        assert "out of system resource" not in "".join(api.output)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connection_beyond_the_limit_is_refused_and_the_others_are_served(
    service: AccountService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "max_connections", lambda: 2)
    with in_a_thread(create_app(service)) as url, requests.Session() as session:
        assert session.get(f"{url}/healthz", timeout=30).ok
        host, _, port = url.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as second:
            second.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert second.recv(100).startswith(b"HTTP/1.1 200 ")
            with pytest.raises(requests.ConnectionError):
                requests.post(f"{url}/accounts", b"{}", headers=JSON, timeout=30)
            assert session.get(f"{url}/healthz", timeout=30).ok
