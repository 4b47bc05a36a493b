"""Every error of the library, with its data and a sentence that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventlab.events import Recorded


class EventLabError(Exception):
    """The base of every error that eventlab raises on purpose."""


class CommandRejected(EventLabError):
    """A rule of the domain says no to a command, on the state that it was asked about: nothing was recorded."""


class VersionConflict(EventLabError):
    """The aggregate is not at the version that the writer has seen.

    Data: ``id``, ``expected`` (a version, or EXISTS), ``actual``.
    """

    def __init__(self, id: str, expected: object, actual: int) -> None:
        self.id, self.expected, self.actual = id, expected, actual
        super().__init__(
            f"{id!r} is at version {actual}, not at {expected}: read it again, decide again, append again"
        )


class InvalidEvent(EventLabError, ValueError):
    """An event, or a batch of them, that cannot be stored; nothing was written."""


class InvalidName(EventLabError, ValueError):
    """An aggregate id, a category, a key, a token or a position that cannot be used; nothing was written."""


class IdempotencyKeyReused(EventLabError):
    """A ``idempotency_key`` key that already stands for another request. Data: ``id``, ``key``."""

    def __init__(self, id: str, key: str) -> None:
        self.id, self.key = id, key
        super().__init__(
            f"idempotency_key={key!r} on {id!r} was used for another request: take a new key for a new request"
        )


class TokenReused(EventLabError):
    """An append token that already stands for other events. Data: ``id``, ``version``."""

    def __init__(self, id: str, version: int) -> None:
        self.id, self.version = id, version
        super().__init__(
            f"the token was used for other events, at version {version} of {id!r}: take one per append"
        )


class NotAdopted(EventLabError):
    """The category holds events that another program wrote. Data: ``category``."""

    def __init__(self, category: str) -> None:
        self.category = category
        super().__init__(
            f"{category!r} holds events but no own logs: stop other writers, then call EventStore.adopt()"
        )


class AdoptionRefused(EventLabError):
    """The stream cannot be adopted as it is. Data: ``position``, ``id``, ``version``, ``expected``."""

    def __init__(self, reason: str, position: str, id: str, version: int, expected: int) -> None:
        self.position, self.id, self.version, self.expected = position, id, version, expected
        super().__init__(f"at {position}, {id!r}: {reason}")


class CorruptEvent(EventLabError):
    """An entry of the stream, or an element of an own log, that is no event. Data: ``where``."""

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        super().__init__(f"no event at {where}: {reason}")


class Trimmed(EventLabError):
    """Events after the position asked for may no longer be in the category stream. Data: ``after``, ``first``."""

    def __init__(self, after: str, first: str) -> None:
        self.after, self.first = after, first
        super().__init__(
            f"the stream was trimmed and now begins at {first}, so events after {after} may be gone: start there, "
            "read the own logs (store.ids, store.read), which are never trimmed, or build the view anew"
        )


class TrimRefused(EventLabError):
    """A group still needs events that the trim would drop. Data: ``group``, ``position``."""

    def __init__(self, group: str, position: str) -> None:
        self.group, self.position = group, position
        super().__init__(
            f"group {group!r} has not finished {position}: let it catch up, trim less, "
            f"or call store.forget_group({group!r}) if it will not come back"
        )


class ViewStopped(EventLabError):
    """A view cannot apply an event; nothing later was applied. Data: ``view``, ``event``, ``error``."""

    def __init__(self, view: str, event: Recorded, error: Exception) -> None:
        self.view, self.event, self.error = view, event, error
        super().__init__(
            f"view {view!r} stopped in front of {event.position} ({event.type!r}, version {event.version} of "
            f"{event.id!r}): {type(error).__name__}: {error}. Mend the view and start it again: it goes on there"
        )


class ViewAhead(EventLabError):
    """A view counts events that its log does not hold. Data: ``view``, ``position``, ``head``."""

    def __init__(self, view: str, position: str, head: str) -> None:
        self.view, self.position, self.head = view, position, head
        super().__init__(
            f"view {view!r} stands at {position}, where the log (its head is {head}) holds no event: Redis has lost "
            "its tail, or the category was dropped. Build the view anew"
        )


class ViewLate(EventLabError, TimeoutError):
    """A view did not come to hold a version in time. Data: ``view``, ``id``, ``version``."""

    def __init__(self, view: str, id: str, version: int) -> None:
        self.view, self.id, self.version = view, id, version
        super().__init__(
            f"view {view!r} does not hold version {version} of {id!r} yet: does a projector run (eventlab project)?"
        )


class RebuildOvertaken(EventLabError):
    """A rebuild of the same view began later, and is the one that counts. Data: ``view``."""

    def __init__(self, view: str) -> None:
        self.view = view
        super().__init__(f"another rebuild of view {view!r} began later: let that one finish")


class NoReplicaSet(EventLabError):
    """The MongoDB cannot do transactions."""

    def __init__(self) -> None:
        super().__init__(
            "this mongod is no member of a replica set, so it has no transactions: start it with --replSet rs0 "
            "and run rs.initiate() once; one member is enough"
        )
