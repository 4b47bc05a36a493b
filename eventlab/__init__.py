"""Event sourcing with Redis and MongoDB.

Each public name is imported when it is first used. Therefore ``import eventlab`` is fast, and the
command line can handle Ctrl-C before it loads the Redis and MongoDB drivers.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventlab.aggregate import Aggregate
    from eventlab.errors import (
        AdoptionRefused,
        CategoryMismatch,
        CheckpointMissing,
        CommandRejected,
        CorruptEvent,
        EventLabError,
        IdempotencyKeyReused,
        InvalidArgument,
        InvalidEvent,
        InvalidName,
        LogMissing,
        LogReplaced,
        Misconfigured,
        NoReplicaSet,
        NotAdopted,
        NotPerAggregate,
        NotSettled,
        PersonForgotten,
        PersonKeyMissing,
        RebuildOvertaken,
        SlicesMismatch,
        SubscriptionLost,
        TokenReused,
        Trimmed,
        TrimRefused,
        VersionConflict,
        ViewAhead,
        ViewLate,
        ViewStopped,
        ViewVersionMismatch,
    )
    from eventlab.events import Event, Recorded
    from eventlab.privacy.person_keys import Erased, PersonKeys
    from eventlab.privacy.protection import FORGOTTEN, Forgotten, Protection
    from eventlab.projections.joined import JoinedProjector, JoinedView
    from eventlab.projections.lag import ViewLag
    from eventlab.projections.projector import Projector
    from eventlab.projections.view import Changes, View
    from eventlab.repository import Repository
    from eventlab.servers import Lab, connect
    from eventlab.store.appends import Write
    from eventlab.store.causes import caused_by
    from eventlab.store.store import ANY, EXISTS, NEW, EventStore, Expected
    from eventlab.subscriptions.records import Lag, Parked
    from eventlab.subscriptions.subscription import Subscription

    __version__: str

_HOMES = {
    "eventlab.aggregate": ("Aggregate",),
    "eventlab.errors": (
        "AdoptionRefused",
        "CategoryMismatch",
        "CheckpointMissing",
        "CommandRejected",
        "CorruptEvent",
        "EventLabError",
        "IdempotencyKeyReused",
        "InvalidArgument",
        "InvalidEvent",
        "InvalidName",
        "LogMissing",
        "LogReplaced",
        "Misconfigured",
        "NoReplicaSet",
        "NotPerAggregate",
        "NotAdopted",
        "NotSettled",
        "PersonForgotten",
        "PersonKeyMissing",
        "RebuildOvertaken",
        "SlicesMismatch",
        "SubscriptionLost",
        "TokenReused",
        "Trimmed",
        "TrimRefused",
        "VersionConflict",
        "ViewAhead",
        "ViewLate",
        "ViewStopped",
        "ViewVersionMismatch",
    ),
    "eventlab.events": (
        "Event",
        "Recorded",
    ),
    "eventlab.privacy.person_keys": (
        "Erased",
        "PersonKeys",
    ),
    "eventlab.privacy.protection": (
        "FORGOTTEN",
        "Forgotten",
        "Protection",
    ),
    "eventlab.projections.joined": (
        "JoinedProjector",
        "JoinedView",
    ),
    "eventlab.projections.lag": ("ViewLag",),
    "eventlab.projections.projector": ("Projector",),
    "eventlab.projections.view": (
        "Changes",
        "View",
    ),
    "eventlab.repository": ("Repository",),
    "eventlab.servers": (
        "Lab",
        "connect",
    ),
    "eventlab.store.appends": ("Write",),
    "eventlab.store.causes": ("caused_by",),
    "eventlab.store.store": (
        "ANY",
        "EXISTS",
        "NEW",
        "EventStore",
        "Expected",
    ),
    "eventlab.subscriptions.records": (
        "Lag",
        "Parked",
    ),
    "eventlab.subscriptions.subscription": ("Subscription",),
}

__all__ = [
    "ANY",
    "EXISTS",
    "FORGOTTEN",
    "NEW",
    "AdoptionRefused",
    "Aggregate",
    "CategoryMismatch",
    "Changes",
    "CheckpointMissing",
    "CommandRejected",
    "CorruptEvent",
    "Erased",
    "Event",
    "EventLabError",
    "EventStore",
    "Expected",
    "Forgotten",
    "IdempotencyKeyReused",
    "InvalidArgument",
    "InvalidEvent",
    "InvalidName",
    "JoinedProjector",
    "JoinedView",
    "Lab",
    "Lag",
    "LogMissing",
    "LogReplaced",
    "Misconfigured",
    "NoReplicaSet",
    "NotAdopted",
    "NotPerAggregate",
    "NotSettled",
    "Parked",
    "PersonForgotten",
    "PersonKeyMissing",
    "PersonKeys",
    "Projector",
    "Protection",
    "RebuildOvertaken",
    "Recorded",
    "Repository",
    "SlicesMismatch",
    "Subscription",
    "SubscriptionLost",
    "TokenReused",
    "TrimRefused",
    "Trimmed",
    "VersionConflict",
    "View",
    "ViewAhead",
    "ViewLag",
    "ViewLate",
    "ViewStopped",
    "ViewVersionMismatch",
    "Write",
    "__version__",
    "caused_by",
    "connect",
]


def __getattr__(name: str) -> object:
    """Import a public name, or read the version, on first use."""
    if name == "__version__":
        value: object = import_module("importlib.metadata").version("eventlab")
    else:
        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the names in this module, for tab completion in a notebook."""
    return sorted({*globals(), *__all__})
