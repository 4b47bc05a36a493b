"""The event store, which keeps one category of aggregates in Redis."""

from eventlab.store.store import ANY, EXISTS, NEW, EventStore, Expected, Upcaster

__all__ = ["ANY", "EXISTS", "NEW", "EventStore", "Expected", "Upcaster"]
