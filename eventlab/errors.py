"""Every error of the library, with its data and a message that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventlab.events import Recorded

MAX_SHOWN: Final = 3  # the most conflicts that an error message lists


class EventLabError(Exception):
    """The base class of every error that eventlab raises on purpose.

    The data and the message of an error survive ``pickle`` and ``copy``, so the error can be passed
    from one process to another.
    """

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own __reduce__ would call the class with the message instead of the data.
        return _new, (type(self),), {"args": self.args} | self.__dict__


def _new(kind: type[EventLabError]) -> EventLabError:
    return kind.__new__(kind)


class Misconfigured(EventLabError):
    """A server rejects the credentials, or the credentials lack a permission.

    Data: ``server``, ``reason``.
    """

    def __init__(self, server: str, reason: str) -> None:
        self.server = server
        self.reason = reason
        super().__init__(
            f"{server} denies access ({reason}): correct the user name, its permissions or the "
            "URL; `eventlab doctor` shows which permissions are missing"
        )


class CommandRejected(EventLabError):
    """A business rule rejected a command in the current state; nothing was recorded."""


class VersionConflict(EventLabError):
    """An aggregate is not at the version that the writer expected; nothing was written.

    Data: ``id``, ``expected`` (a version, or EXISTS), ``actual``, and ``conflicts``, which maps the
    id of each conflicting aggregate to its expected and actual versions.
    """

    def __init__(
        self,
        id: str,
        expected: object,
        actual: int,
        others: Mapping[str, tuple[object, int]] | None = None,
    ) -> None:
        self.id = id
        self.expected = expected
        self.actual = actual
        self.conflicts = {id: (expected, actual), **(others or {})}
        moved = []
        lost = ""
        for name, (wanted, found) in self.conflicts.items():
            version = getattr(wanted, "name", wanted)
            moved.append(f"{name!r} is at version {found}, expected {version}")
            if isinstance(wanted, int) and found < wanted:
                lost = "later versions were lost in a failover or never stored; "
        shown = ", ".join(moved[:MAX_SHOWN])
        more = f" and {len(moved) - MAX_SHOWN} more" if len(moved) > MAX_SHOWN else ""
        what = "aggregate" if len(moved) == 1 else "aggregates"
        super().__init__(f"{shown}{more}: {lost}reload the {what} and decide again")


class LogReplaced(VersionConflict):
    """The log was dropped and written again after the aggregate was loaded; nothing was written.

    Data: ``id``, ``expected``, ``actual`` (equal to ``expected``).
    """

    def __init__(self, id: str, version: int) -> None:
        super().__init__(id, version, version)
        self.args = (
            f"version {version} of {id!r} is not the event that was loaded, because "
            "the log was replaced: reload the aggregate and decide again",
        )


class LogMissing(EventLabError):
    """Redis has lost the log of an aggregate that exists; nothing was written. Data: ``id``."""

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(
            f"aggregate {id!r} exists, but Redis evicted or deleted its events: set the "
            "maxmemory-policy of Redis to noeviction, and restore the data from a backup"
        )


class NotSettled(EventLabError):
    """Redis did not confirm that the events are on the disks and replicas that ``settle`` requires.

    Data: ``reason``.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class InvalidEvent(EventLabError, ValueError):
    """An event, or a batch of events, cannot be stored; nothing was written."""


class InvalidArgument(EventLabError, ValueError):
    """A count, a position, a clock or an option is invalid; nothing was written."""


class InvalidName(InvalidArgument):
    """An aggregate id, a category, a key, a token or another name is invalid."""


class IdempotencyKeyReused(EventLabError):
    """An idempotency key was already used for another request. Data: ``id``, ``key``."""

    def __init__(self, id: str, key: str) -> None:
        self.id = id
        self.key = key
        super().__init__(
            f"idempotency key {key!r} of {id!r} was used for another request: "
            "use a new key for each new request"
        )


class TokenReused(EventLabError):
    """An append token was already used for other events. Data: ``id``, ``version``."""

    def __init__(self, id: str, version: int) -> None:
        self.id = id
        self.version = version
        super().__init__(
            f"the token was used for other events, at version {version} of {id!r}: "
            "use a new token for each append"
        )


class NotAdopted(EventLabError):
    """The category has events that another program wrote, and they have not been adopted.

    Data: ``category``.
    """

    def __init__(self, category: str) -> None:
        self.category = category
        super().__init__(
            f"{category!r} has events but no aggregate logs: "
            "stop all other writers, then call EventStore.adopt()"
        )


class AdoptionRefused(EventLabError):
    """The stream cannot be adopted in its current state.

    Data: ``position``, ``id``, ``version``, ``expected``.
    """

    def __init__(self, reason: str, position: str, id: str, version: int, expected: int) -> None:
        self.position = position
        self.id = id
        self.version = version
        self.expected = expected
        super().__init__(f"cannot adopt {id!r} at {position}: {reason}")


class CorruptEvent(EventLabError):
    """An entry of the stream, or an element of an aggregate log, is not a valid event.

    Data: ``where``.
    """

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        super().__init__(f"no event at {where}: {reason}")


class Trimmed(EventLabError):
    """Events after the requested position may no longer be in the category stream.

    Data: ``after``, ``first``.
    """

    def __init__(self, after: str, first: str) -> None:
        self.after = after
        self.first = first
        super().__init__(
            f"the stream was trimmed and now begins at {first}, so events after {after} may be "
            f"missing: start at {first}, rebuild the view, or read the aggregate logs (store.ids, "
            "store.read), which are never trimmed"
        )


class TrimRefused(EventLabError):
    """A consumer group still needs events that the trim would drop.

    Data: ``group``, ``position``.
    """

    def __init__(self, group: str, position: str) -> None:
        self.group = group
        self.position = position
        super().__init__(
            f"group {group!r} has not finished the event at {position}: let it catch up, trim "
            f"less, or call store.forget_group({group!r}) if it is no longer used"
        )


class SubscriptionLost(EventLabError):
    """A subscription has lost its consumer group, or an event that it delivered.

    Data: ``name``, ``position`` (of the missing event, or None if the group is gone).
    """

    def __init__(self, name: str, position: str | None = None) -> None:
        self.name = name
        self.position = position
        super().__init__(
            f"subscription {name!r} has lost its consumer group, and no longer knows which "
            "events are finished: the group or the category was deleted, or Redis lost its data. "
            "Create the Subscription again, with start= set to the position up to which the "
            "work is done; without start=, every event is delivered again"
            if position is None
            else f"subscription {name!r} has delivered an event at {position} that is no longer in "
            "the stream: Redis lost its latest writes in a failover, or the category was replaced. "
            "Undo the work for events that no longer exist, then create the Subscription again: it "
            "resumes with the events that still exist"
        )


class ViewStopped(EventLabError):
    """A view stopped at an event that it cannot apply, or whose changes MongoDB cannot store.

    Data: ``view``, ``event``, ``error``.
    """

    def __init__(self, view: str, event: Recorded, error: Exception, reason: str = "") -> None:
        self.view = view
        self.event = event
        self.error = error
        super().__init__(
            f"view {view!r} stopped at {event.position} ({event.type!r}, version {event.version} "
            f"of {event.id!r}): {type(error).__name__}: {reason or error}. "
            "Fix the view and restart it: it resumes from there"
        )


class ViewAhead(EventLabError):
    """A view has applied events that are not in the category stream.

    Data: ``view``, ``position``, ``head``.
    """

    def __init__(self, view: str, position: str, head: str) -> None:
        self.view = view
        self.position = position
        self.head = head
        super().__init__(
            f"view {view!r} has applied an event at {position} that is not in the stream (head "
            f"{head}): Redis lost its latest writes, or the category was dropped. Rebuild the view"
        )


class SlicesMismatch(EventLabError):
    """The store has the wrong number of slices for its category. Data: ``category``, ``slices``."""

    def __init__(self, category: str, slices: int) -> None:
        self.category = category
        self.slices = slices
        super().__init__(
            f"category {category!r} was created with slices={slices}, which cannot change: "
            f"open it with EventStore(redis, {category!r}, slices={slices})"
        )


class CategoryMismatch(EventLabError):
    """A view already follows a different category.

    Data: ``view``, ``category`` (which the view follows), ``asked`` (the requested category).
    """

    def __init__(self, view: str, category: str, asked: str) -> None:
        self.view = view
        self.category = category
        self.asked = asked
        super().__init__(
            f"view {view!r} follows category {category!r}, not {asked!r}: give the view of "
            f"{asked!r} another name (eventlab project: --collection)"
        )


class ViewVersionMismatch(EventLabError):
    """The documents of a view were built by a different version of the view's code.

    Data: ``view``, ``stored``, ``version``.
    """

    def __init__(self, view: str, stored: int, version: int) -> None:
        self.view = view
        self.stored = stored
        self.version = version
        super().__init__(
            f"the documents of view {view!r} were built by version {stored} of its code, and this "
            f"is version {version}: "
            + (
                "run the newer code; to return to this version, stop the newer code and rebuild "
                "the view"
                if stored > version
                else "run its projector, which builds the newer documents alongside these "
                "(eventlab project), or rebuild the view"
            )
        )


class CheckpointMissing(EventLabError):
    """A view has documents but no checkpoint, so it is unknown which events the documents include.

    Data: ``view``.
    """

    def __init__(self, view: str) -> None:
        self.view = view
        super().__init__(
            f"view {view!r} has documents but no checkpoint, so events might be applied twice: "
            "rebuild the view"
        )


class ViewLate(EventLabError, TimeoutError):
    """A view did not reach a version in time. Data: ``view``, ``id``, ``version``."""

    def __init__(self, view: str, id: str, version: int) -> None:
        self.view = view
        self.id = id
        self.version = version
        super().__init__(
            f"view {view!r} has not reached version {version} of {id!r} yet: "
            "check that a projector is running (eventlab project)"
        )


class RebuildOvertaken(EventLabError):
    """Another rebuild of the same view started later and takes precedence. Data: ``view``."""

    def __init__(self, view: str) -> None:
        self.view = view
        super().__init__(f"another rebuild of view {view!r} started later: let it finish")


class NotPerAggregate(EventLabError):
    """The documents of one aggregate cannot be rebuilt separately. Data: ``view``."""

    def __init__(self, view: str) -> None:
        self.view = view
        super().__init__(
            f"view {view!r} does not promise that each document depends on a single aggregate, so "
            "it cannot be rebuilt for one aggregate: rebuild the whole view, or set per_aggregate "
            "= True in its class if the promise holds"
        )


class NoReplicaSet(EventLabError):
    """The MongoDB server does not support transactions."""

    def __init__(self) -> None:
        super().__init__(
            "this mongod is not a member of a replica set, so it does not support transactions: "
            "start it with --replSet rs0 and run rs.initiate() once; one member is enough"
        )


class PersonForgotten(EventLabError):
    """A protected field of a person who was forgotten cannot be stored. Data: ``person``."""

    def __init__(self, person: str) -> None:
        self.person = person
        super().__init__(
            f"{person!r} was forgotten, so no protected field of this person can be stored: "
            "use a new id if the person returns"
        )


class PersonKeyMissing(EventLabError):
    """The ``PersonKeys`` object has never had a key for the person. Data: ``person``, ``keys``."""

    def __init__(self, person: str, keys: str) -> None:
        self.person = person
        self.keys = keys
        super().__init__(
            f"{keys!r} has no key for {person!r}: connect to the Redis that has the keys, "
            "or restore them from a backup"
        )
