"""eventlab: event sourcing on a real Redis and a real MongoDB, small enough to read in one sitting."""

from importlib.metadata import version

from eventlab.aggregate import Aggregate
from eventlab.errors import (
    AdoptionRefused,
    CommandRejected,
    CorruptEvent,
    EventLabError,
    IdempotencyKeyReused,
    InvalidEvent,
    InvalidName,
    NoReplicaSet,
    NotAdopted,
    RebuildOvertaken,
    TokenReused,
    Trimmed,
    TrimRefused,
    VersionConflict,
    ViewAhead,
    ViewLate,
    ViewStopped,
)
from eventlab.events import Event, Recorded
from eventlab.projections.projector import Projector, ViewLag
from eventlab.projections.view import Changes, View
from eventlab.repository import Repository
from eventlab.servers import Lab, connect
from eventlab.store.store import ANY, EXISTS, NEW, EventStore
from eventlab.subscriptions.subscription import Lag, Parked, Subscription

__version__ = version("eventlab")

__all__ = [
    "ANY",
    "EXISTS",
    "NEW",
    "AdoptionRefused",
    "Aggregate",
    "Changes",
    "CommandRejected",
    "CorruptEvent",
    "Event",
    "EventLabError",
    "EventStore",
    "IdempotencyKeyReused",
    "InvalidEvent",
    "InvalidName",
    "Lab",
    "Lag",
    "NoReplicaSet",
    "NotAdopted",
    "Parked",
    "Projector",
    "RebuildOvertaken",
    "Recorded",
    "Repository",
    "Subscription",
    "TokenReused",
    "TrimRefused",
    "Trimmed",
    "VersionConflict",
    "View",
    "ViewAhead",
    "ViewLag",
    "ViewLate",
    "ViewStopped",
    "__version__",
    "connect",
]
