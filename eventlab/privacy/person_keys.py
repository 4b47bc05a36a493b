"""The keys that encrypt personal fields: one per person, in a Redis hash, apart from the events."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from redis import Redis
from redis.cluster import RedisCluster
from redis.exceptions import ResponseError

from eventlab.errors import InvalidArgument, PersonForgotten, PersonKeyMissing
from eventlab.store.keys import Keys, checked_counts, checked_name
from eventlab.store.scripts import RAW, checked_client
from eventlab.store.settling import node_of, settle

NAME: Final = "personKeys"
KEY_BYTES: Final = 64  # one half encrypts, and the other half derives the nonces
CACHE_SECONDS: Final = 1.0  # for which a process may use a key without reading it again
CACHE_SIZE: Final = 10_000
REWRITE_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.05
FORGOTTEN_KEY: Final = b""  # replaces a key: this person never gets another key


@dataclass(frozen=True)
class Erased:
    """The result of ``PersonKeys.forget``.

    ``had_key`` is False if there was nothing to forget. ``rewritten`` is False if Redis did not
    rewrite its append-only file. The file contains the key until the next rewrite.
    """

    person: str
    had_key: bool
    rewritten: bool


class _Cached(NamedTuple):
    key: bytes
    until: float


class PersonKeys:
    """The keys of all people, in one Redis hash (``{personKeys}/people`` by default).

    Use a separate Redis, or at least store the backups of the keys apart from the backups of the
    events, because a backup that contains both can undo a ``forget``. Use ids that reveal nothing
    about a person, such as a customer number, because the ids are never deleted. A new key is not
    used until it is on ``disk`` disks and on ``replicas`` replicas, as in ``EventStore.settle``,
    because a field that is encrypted with a lost key is lost, too. Several threads and processes
    can use the keys at the same time.

    Raises InvalidName for an invalid ``name``, and InvalidArgument for other invalid arguments.

    >>> keys = PersonKeys(lab.redis)
    >>> keys.forget("customer-7")
    Erased(person='customer-7', had_key=True, rewritten=True)
    """

    def __init__(
        self,
        redis: Redis | RedisCluster,
        name: str = NAME,
        *,
        disk: int = 1,
        replicas: int = 0,
        timeout: float = 30.0,
    ) -> None:
        checked_counts(disk=disk, replicas=replicas)
        self._redis: Any = checked_client(redis)
        self.name = name
        self._keys = Keys(name)
        self._disk = disk
        self._replicas = replicas
        self._timeout = timeout
        self._cache: dict[str, _Cached] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"PersonKeys({self.name!r})"

    def key_for_writing(self, person: str) -> bytes:
        """Return the key of a person; create a key if the person has none yet.

        Raises PersonForgotten if the person was forgotten, and NotSettled if a new key could still
        be lost.
        """
        key = self._known(person)
        if key is None:
            # NX: if two processes do this at the same time, one creates the key, and both use it.
            made = os.urandom(KEY_BYTES)
            self._command("HSETNX", self._keys.people, checked_name(person, "person"), made)
            settle(
                self._redis,
                self._keys,
                disk=self._disk,
                replicas=self._replicas,
                timeout=self._timeout,
            )
            key = self._known(person)
        if not key:
            raise PersonForgotten(person)
        return key

    def key_for_reading(self, person: str) -> bytes | None:
        """Return the key of a person, or None if the person was forgotten.

        Raises PersonKeyMissing if this Redis has never had a key for the person, usually because it
        is the wrong Redis.
        """
        key = self._known(person)
        if key is None:
            raise PersonKeyMissing(person, self.name)
        return key or None

    def is_forgotten(self, person: str) -> bool:
        """Return True if the person was forgotten."""
        return self._known(person) == FORGOTTEN_KEY

    def forget(self, person: str, *, rewrite: bool = True) -> Erased:
        """Destroy the key of a person, so that nobody can read the protected fields again.

        When ``forget`` returns, no process uses the key anymore. Afterward, rebuild the views that
        show the person, because their documents still contain the fields. With ``rewrite``, Redis
        rewrites its append-only file, so that the file no longer contains the key. Delete copies
        and backups of that file yourself. A repeat has no further effect.
        """
        before = self._command("HGET", self._keys.people, checked_name(person, "person"))
        self._command("HSET", self._keys.people, checked_name(person, "person"), FORGOTTEN_KEY)
        settle(
            self._redis, self._keys, disk=self._disk, replicas=self._replicas, timeout=self._timeout
        )
        with self._lock:
            self._cache.pop(person, None)
        time.sleep(CACHE_SECONDS)  # another process may have read the key just before
        return Erased(person, bool(before), self._rewritten() if rewrite else False)

    def _rewritten(self) -> bool:
        node = node_of(self._redis, self._keys.people)
        try:
            if not self._persistence(node)["aof_enabled"]:
                return False
            # A rewrite that is already running may have copied the key: wait, then start another.
            end = time.monotonic() + REWRITE_SECONDS
            if not self._rests(node, end):
                return False
            node.execute_command("BGREWRITEAOF")
            return self._rests(node, end)
        except ResponseError:  # not allowed, as in most managed services
            return False

    def _rests(self, node: Any, end: float) -> bool:
        while True:
            now = self._persistence(node)
            if not (now["aof_rewrite_in_progress"] or now["aof_rewrite_scheduled"]):
                return now["aof_last_bgrewrite_status"] in ("ok", b"ok")
            if time.monotonic() > end:
                return False
            time.sleep(PAUSE_SECONDS)

    def _persistence(self, node: Any) -> dict[str, Any]:
        found: dict[str, Any] = node.info("persistence")
        return found

    def _known(self, person: str) -> bytes | None:
        """Return the key, or ``b""`` if it was destroyed, or None if there never was one."""
        now = time.monotonic()
        with self._lock:
            cached = self._cache.get(person)
        if cached is not None and now < cached.until:
            return cached.key
        key = self._command("HGET", self._keys.people, checked_name(person, "person"))
        if key is None:
            return None
        if len(key) not in (0, KEY_BYTES):
            raise InvalidArgument(
                f"the key of {person!r} in {self.name!r} has {len(key)} bytes, not {KEY_BYTES}: "
                "restore it from a backup"
            )
        with self._lock:
            while len(self._cache) >= CACHE_SIZE:
                self._cache.pop(next(iter(self._cache)))
            # Count from before the read: the key may have been destroyed right after the read.
            self._cache[person] = _Cached(key, now + CACHE_SECONDS)
        return bytes(key)

    def _command(self, *command: Any) -> Any:
        return self._redis.execute_command(*command, **RAW)
