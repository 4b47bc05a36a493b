"""Subscriptions: work outside the database, delivered at least once through a consumer group."""

from eventlab.subscriptions.subscription import Lag, Parked, Subscription

__all__ = ["Lag", "Parked", "Subscription"]
