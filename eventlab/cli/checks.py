"""The result of a check, and the checks of a running Redis and MongoDB."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pymongo.errors import PyMongoError
from redis.exceptions import NoPermissionError, RedisError

from eventlab import settings
from eventlab.accounts.names import CATEGORY
from eventlab.cli.text import sentence_of
from eventlab.errors import EventLabError, Misconfigured
from eventlab.events import Event
from eventlab.servers import Lab, ServerUnreachable, connect
from eventlab.servers.binaries import numbers
from eventlab.slices.store import open_store
from eventlab.store.answers import SERVER_ERRORS, is_outage, server
from eventlab.store.store import NEW, EventStore

TRIAL: Final = "doctor"
WAITAOF_SINCE: Final = (7, 2)
#: The commands that an append or a read sends, with their arguments, grouped by key.
RIGHTS: Final = {
    "stream": ("xadd {key} * f v", "xlen {key}", "xrange {key} - +", "exists {key}"),
    "log": ("rpush {key} v", "llen {key}", "lindex {key} 0", "lrange {key} 0 1"),
    "ids": ("sadd {key} v", "scard {key}"),
}
ASK_RIGHTS: Final = """
local missing = {}
for _, line in ipairs(ARGV) do
  local words = cjson.decode(line)
  if not redis.acl_check_cmd(unpack(words)) then
    missing[#missing + 1] = words[1] .. " " .. words[2]
  end
end
return missing
"""
Infos = list[dict[str, Any]]


@dataclass(frozen=True)
class Check:
    """The result of one check.

    ``detail`` says what the check found, and ``remedy`` says how to fix a failure.
    """

    name: str
    ok: bool
    detail: str = ""
    remedy: str = ""


def failure(name: str, error: Exception, remedy: str) -> Check:
    """Return a failed check for an error.

    The message of an eventlab error ends with a colon and a remedy, which is used instead of
    ``remedy``. A driver error's message says to run the doctor, which is already running, so
    ``remedy`` replaces that advice.

    >>> failure("slices", EventLabError("it has 64 slices: open it with slices=64"), "restart")
    Check(name='slices', ok=False, detail='it has 64 slices', remedy='open it with slices=64')
    """
    sentence = sentence_of(error)
    found, _, own = sentence.rpartition(": ")
    if isinstance(error, EventLabError) and found:
        return Check(name, False, found, own)
    if isinstance(error, SERVER_ERRORS) and found:
        return Check(name, False, found, remedy)
    return Check(name, False, sentence, remedy)


class _Failed(Exception):
    """Raised by a failed check; ``remedy``, if given, replaces the check's default remedy."""

    def __init__(self, found: str, remedy: str = "") -> None:
        super().__init__(found)
        self.remedy = remedy


def server_checks(directory: Path, *, durability: bool = False) -> Iterator[Check]:
    """Yield checks of the servers that ``connect`` reaches; start private servers if needed.

    One check appends a real event to a temporary category and then removes the category. Another
    check writes to MongoDB in a real transaction and then aborts the transaction. With
    ``durability``, Redis must support WAITAOF.
    """
    try:
        lab = connect(directory)
    except ServerUnreachable as error:
        found = f"the server at {error.variable} {error.reason}"
        yield Check("servers", False, found, error.remedy or f"correct {error.variable}")
        return
    except (EventLabError, RedisError, PyMongoError, OSError) as error:
        yield Check(
            "servers", False, sentence_of(error), "fix the problem that the message reports"
        )
        return
    with lab:
        for name, remedy, examine in (
            ("Redis connection", "start Redis", _redis_answers),
            *([("Redis durability", "use Redis 7.2 or newer", _durability)] if durability else []),
            ("Redis role", "connect to the primary, not to a replica", _role),
            ("Redis eviction", "run CONFIG SET maxmemory-policy noeviction", _eviction),
            ("Redis append-only file", "run CONFIG SET appendonly yes", _append_only_file),
            ("Redis permissions", "grant this user the missing permissions: ACL SETUSER", _rights),
            ("Redis append", "allow this user to run scripts and to write", _append),
            ("MongoDB connection", "start MongoDB", _mongodb_answers),
            (
                "MongoDB transaction",
                "use a replica set, and a user with the role readWrite",
                _transaction,
            ),
        ):
            yield _check(name, remedy, examine, lab)


def _is_info_refused(error: Exception) -> bool:
    return isinstance(error, NoPermissionError) and "'info'" in str(error)


def _check(name: str, remedy: str, examine: Callable[[Lab], str], lab: Lab) -> Check:
    try:
        return Check(name, True, examine(lab))
    except _Failed as found:
        return Check(name, False, str(found), found.remedy or remedy)
    except (EventLabError, *SERVER_ERRORS, OSError) as error:
        if _is_info_refused(error):
            return Check(name, True, "unknown: this user is not allowed to run INFO")
        if is_outage(error):  # not a missing permission
            remedy = (
                f"check that {server(error)} is running, is the primary, and has free memory and "
                "disk space"
            )
        where = "".join(getattr(error, "__notes__", ()))
        failed = failure(name, error, remedy)
        return replace(failed, detail=f"{where}{failed.detail}")


def _redis_answers(lab: Lab) -> str:
    return f"version {_infos(lab, 'server')[0]['redis_version']}"


def _role(lab: Lab) -> str:
    roles = {str(info["role"]) for info in _infos(lab, "replication")}
    if roles != {"master"}:
        raise _Failed("this Redis is a replica, which cannot be written to")
    return "primary"


def _eviction(lab: Lab) -> str:
    policies = {str(info["maxmemory_policy"]) for info in _infos(lab, "memory")}
    if policies != {"noeviction"}:
        found = ", ".join(sorted(policies))
        raise _Failed(f"the maxmemory-policy is {found}: Redis deletes events when memory runs out")
    return "maxmemory-policy noeviction"


def _append_only_file(lab: Lab) -> str:
    infos = _infos(lab, "persistence")
    if not all(info["aof_enabled"] for info in infos):
        raise _Failed("it is off: events appended since the last snapshot are lost in a crash")
    if any(info["aof_last_write_status"] != "ok" for info in infos):
        raise _Failed("the last write to it failed", "check the disk that Redis writes to")
    return "on"


def _durability(lab: Lab) -> str:
    versions = [str(info["redis_version"]) for info in _infos(lab, "server")]
    oldest = min(versions, key=numbers)
    if numbers(oldest) < WAITAOF_SINCE:
        raise _Failed(
            f"version {oldest} lacks WAITAOF, so it cannot confirm that an event is on disk"
        )
    return "WAITAOF"


def _rights(lab: Lab) -> str:
    """Use a script that writes nothing to ask Redis which commands this user may not run."""
    store = _configured(lab)
    for number, one in enumerate(store.all_slices()):
        missing = _missing_rights(one)
        if missing:
            raise _Failed(
                f"{_where(store, number)}not allowed for category {store.category!r}: "
                f"{', '.join(sorted(missing))}"
            )
    slices = f" in {store.slices} slices" if store.slices > 1 else ""
    return f"complete for category {store.category}{slices}"


def _missing_rights(one: EventStore) -> set[str]:
    keys = one.keys
    rights = {"stream": keys.stream, "log": keys.log(TRIAL), "ids": keys.ids}
    # Encoded as JSON, because a category name may contain a space.
    commands = [
        json.dumps([key.decode() if word == "{key}" else word for word in command.split()])
        for name, key in rights.items()
        for command in RIGHTS[name]
    ]
    redis: Any = one.redis
    # Each node has its own user permissions, so ask the node that holds this slice.
    where = {"target_nodes": _node_of(one)} if _is_cluster(redis) else {}
    return {
        str(found) for found in redis.execute_command("EVAL", ASK_RIGHTS, 0, *commands, **where)
    }


def _append(lab: Lab) -> str:
    store = _configured(lab)
    tried = set[str]()
    for number, one in enumerate(store.all_slices()):
        shard = str(_node_of(one).name) if _is_cluster(lab.redis) else ""
        if shard in tried:
            continue
        tried.add(shard)
        try:
            _trial_append(lab, shard)
        except (NoPermissionError, Misconfigured):
            # A user that is limited to its own categories may not use the trial category.
            _rights(lab)
            return "not tried: this user may use only its own categories"
        except (EventLabError, *SERVER_ERRORS) as error:
            error.add_note(_where(store, number))
            raise
    masters = f" on {len(tried)} masters" if len(tried) > 1 else ""
    return f"appended, read, removed{masters}"


def _trial_append(lab: Lab, shard: str) -> None:
    store = _trial_store(lab, shard)
    try:
        store.append(TRIAL, [Event("checked")], expected=NEW)
        count = len(store.read(TRIAL))
    finally:
        keys = store.keys
        with suppress(NoPermissionError):  # in that case, nothing was written
            lab.redis.delete(keys.stream, keys.ids, keys.log(TRIAL))
    if count != 1:
        raise _Failed(f"1 event was appended, {count} were read")


def _trial_store(lab: Lab, shard: str) -> EventStore:
    """Return a store for a new category; in a cluster, the category's keys are on this shard."""
    while True:
        store = EventStore(lab.redis, f"{TRIAL}-{secrets.token_hex(8)}")
        if not shard or _node_of(store).name == shard:
            return store


def _configured(lab: Lab) -> EventStore:
    """Open the store of the configured category with the category's number of slices."""
    category = os.environ.get(settings.CATEGORY) or CATEGORY
    try:
        return open_store(lab.redis, category)
    except NoPermissionError:  # the permissions check reports what is missing
        return EventStore(lab.redis, category)


def _is_cluster(redis: Any) -> bool:
    return hasattr(redis, "get_node_from_key")


def _node_of(one: EventStore) -> Any:
    redis: Any = one.redis
    return redis.get_node_from_key(one.keys.stream)


def _where(store: EventStore, number: int) -> str:
    """Return a message prefix with the slice and its shard, or "" if there is only one slice."""
    if store.slices == 1:
        return ""
    one = store.all_slices()[number]
    shard = f" on {_node_of(one).name}" if _is_cluster(store.redis) else ""
    return f"slice {number}{shard}: "


def _mongodb_answers(lab: Lab) -> str:
    return f"version {lab.mongo.client.server_info()['version']}"


def _transaction(lab: Lab) -> str:
    with lab.mongo.client.start_session() as session, session.start_transaction():
        lab.mongo.get_collection(TRIAL).insert_one({}, session=session)
        session.abort_transaction()  # leave nothing behind
    return "started, written, aborted"


def _infos(lab: Lab, section: str) -> Infos:
    """Return a section of INFO from Redis or, in a cluster, from each primary."""
    redis: Any = lab.redis
    if not hasattr(redis, "get_primaries"):
        return [redis.info(section)]
    return [redis.get_redis_connection(node).info(section) for node in redis.get_primaries()]
