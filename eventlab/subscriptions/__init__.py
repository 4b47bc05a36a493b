"""Subscriptions: work outside the database, delivered at least once through a consumer group."""

from eventlab.subscriptions.records import Lag, Parked
from eventlab.subscriptions.subscription import Subscription

__all__ = ["Lag", "Parked", "Subscription"]
