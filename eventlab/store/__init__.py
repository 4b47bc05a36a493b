"""The event store: one category of aggregates in Redis."""

from eventlab.store.store import ANY, EXISTS, NEW, EventStore, Expected, Upcaster

__all__ = ["ANY", "EXISTS", "NEW", "EventStore", "Expected", "Upcaster"]
