"""Subscriptions deliver each event at least once, for work outside the database."""

from eventlab.subscriptions.records import Lag, Parked
from eventlab.subscriptions.subscription import Subscription

__all__ = ["Lag", "Parked", "Subscription"]
