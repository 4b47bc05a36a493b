"""Parse a Redis URL, which names one server, some nodes of a cluster, or some Sentinels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

SERVER_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")
ESCAPE: Final = "percent-encode the user name and the password"


class InvalidURL(Exception):
    """A URL cannot be used. The message contains no part of the URL, which may hold a password."""


@dataclass(frozen=True, repr=False)
class RedisURL:
    """A parsed URL; ``plain`` holds, for each host or socket, a URL that redis-py accepts."""

    hosts: tuple[tuple[str, int], ...]
    plain: tuple[str, ...]
    service: str | None
    sentinel_options: dict[str, str]


def parse(url: str) -> RedisURL:
    """Parse a URL; raise InvalidURL if it cannot be used.

    >>> parse("redis://one:1,two").hosts
    (('one', 1), ('two', 6379))
    >>> parse("rediss+sentinel://:secret@one/mymaster/3").service
    'mymaster'
    """
    require_escaped(url)
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise InvalidURL(f"the URL must begin with one of {'://, '.join(SCHEMES)}://")
    if parts.scheme == "unix":
        return RedisURL((), (url,), None, {})
    credentials, at, addresses = parts.netloc.rpartition("@")
    scheme, _, kind = parts.scheme.partition("+")
    port = SENTINEL_PORT if kind else SERVER_PORT
    hosts = tuple(_host(address, port) for address in addresses.split(","))
    service = None
    path = parts.path
    if kind:
        service, _, database = parts.path.strip("/").partition("/")
        if not service:
            raise InvalidURL(
                "the path of a Sentinel URL names its master: redis+sentinel://host/mymaster/0"
            )
        path = f"/{database}"
    options = parse_qsl(parts.query)
    rest = urlencode([pair for pair in options if pair[0] not in SENTINEL_OPTIONS])
    plain = [
        SplitResult(scheme, f"{credentials}{at}{_address(*host)}", path, rest, "").geturl()
        for host in hosts
    ]
    sentinel_options = {
        name.removeprefix("sentinel_"): value for name, value in options if name in SENTINEL_OPTIONS
    }
    return RedisURL(hosts, tuple(plain), unquote(service) if service else None, sentinel_options)


def require_escaped(url: str) -> None:
    """Raise InvalidURL if a user name or password seems to contain an unescaped delimiter.

    For example, ``redis://:pass/word@host`` would be parsed as the URL of a server ``:pass``.
    """
    remedy = f"{ESCAPE} (for example, write / as %2F)"
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidURL(f"this is not a URL: {remedy}") from None
    is_socket = parts.scheme == "unix" and not parts.netloc.rpartition("@")[2]
    after = parts.fragment if is_socket else parts.path + parts.fragment
    if "@" in after or ("@" in parts.query.split("=", 1)[0]) or "#" in url:
        raise InvalidURL(remedy)


def _host(address: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{address}")
        number = parts.port
    except ValueError:
        raise InvalidURL(f"a host or a port is not valid: correct it, or {ESCAPE}") from None
    return parts.hostname or "localhost", port if number is None else number


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
