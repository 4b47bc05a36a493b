"""A Redis of the user's own on a TCP port, its Sentinels, and TLS in front of it."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from eventlab.lessons.ports import free_port
from eventlab.servers.binaries import find_redis
from tests.support.waiting import wait_until

BUFFER_BYTES = 65536


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextmanager
def redis_process(folder: Path, *options: str) -> Iterator[int]:
    """Run a Redis without persistence, and yield its port."""
    port = free_port()
    where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    with _running([*where, *options], port):
        yield port


@contextmanager
def sentinel_process(
    folder: Path, master_port: int, password: str, *, down_after_ms: int = 2000
) -> Iterator[int]:
    """Run a Sentinel that watches ``mymaster``, and yield its port."""
    port = free_port()
    config = folder / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor mymaster 127.0.0.1 {master_port} 2\n"
        f"sentinel auth-pass mymaster {password}\n"
        f"sentinel down-after-milliseconds mymaster {down_after_ms}\n"
        "sentinel failover-timeout mymaster 6000\n"
    )
    with _running([str(config), "--sentinel"], port):
        with redis.Redis("127.0.0.1", port) as client:
            wait_until(lambda: client.sentinel_master("mymaster")["ip"])
        yield port


@contextmanager
def _running(arguments: list[str], port: int) -> Iterator[None]:
    binary = find_redis()
    with subprocess.Popen(
        [str(binary.path), *arguments],
        env=os.environ | dict(binary.env),
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            assert wait_until(lambda: _listens(port))
            yield
        finally:
            process.kill()


@contextmanager
def tls_tunnel(folder: Path, port: int) -> Iterator[tuple[int, Path]]:
    """Listen with TLS in front of a port; yield the new port and the certificate to trust."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, port), daemon=True).start()
        yield listener.getsockname()[1], certificate


def _accept(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):  # the listener was closed
        while True:
            accepted, _ = listener.accept()
            with suppress(OSError):  # the client does not trust the certificate
                client = context.wrap_socket(accepted, server_side=True)
                server = socket.create_connection(("127.0.0.1", port))
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with source:
        with suppress(OSError):
            while data := source.recv(BUFFER_BYTES):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)  # it ends the other direction
