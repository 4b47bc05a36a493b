"""A Redis of a test's own, with options of its own, for the duration of a with block."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import redis

from eventlab.servers.binaries import find_redis
from tests.support.crash_servers import answers
from tests.support.waiting import wait_until


@contextlib.contextmanager
def private_redis(folder: Path, *options: str, port: int = 0) -> Iterator[redis.Redis]:
    """Start a Redis on a socket in a folder, and on a port if one is given; yield its client."""
    binary = find_redis()
    folder.mkdir(exist_ok=True)
    socket = folder / "r.sock"
    command = [str(binary.path), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--unixsocket", str(socket), "--dir", str(folder), *options]
    with subprocess.Popen(
        command, env=os.environ | dict(binary.env), stdout=subprocess.DEVNULL
    ) as process:
        try:
            with redis.Redis(unix_socket_path=str(socket)) as client:
                wait_until(lambda: answers(client))
                yield client
        finally:
            process.kill()
