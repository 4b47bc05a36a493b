"""Metrics for Prometheus: the counters of this process, and values that the servers report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from eventlab.errors import SubscriptionLost, VersionConflict
from eventlab.observe.lag import ViewState, appended, subscriptions_of
from eventlab.projections.projector import Projector
from eventlab.store.answers import SERVER_ERRORS, is_outage, server
from eventlab.store.store import EventStore

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
#: The variable that names the directory in which the workers of a service share their counters.
#: prometheus_client reads it at import.
SHARED_COUNTERS: Final = "PROMETHEUS_MULTIPROC_DIR"

#: The states of an unfinished event of a subscription, which are also the fields of Lag.
STATES: Final = ("new", "pending", "waiting", "blocked", "parked")

Families = Callable[[], Iterator[Metric]]


class Metrics:
    """The counters of a process, or of all workers of a service if they share a directory.

    ``sources`` yield additional metrics for each request. A source yields nothing if its server is
    unavailable.

    >>> metrics = Metrics()
    >>> metrics.count_applied("accountCollection", 3)
    >>> b'eventlab_events_applied_total{view="accountCollection"} 3.0' in metrics.counters()
    True
    """

    def __init__(self, *sources: Families) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # not needed, and missing with several workers
        self._sources = sources
        self._registry = CollectorRegistry()
        self._applied = self._counter("events_applied", "Events that a view has applied.", "view")
        self._conflicts = self._counter(
            "version_conflicts",
            "Version conflicts: appends that lost a race against another writer.",
        )
        self._retries = self._counter("retries", "Retries after a version conflict.")
        self._outages = self._counter(
            "outages", "Calls that failed because a server was unavailable.", "server"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"eventlab_{name}", text, labels, registry=self._registry)

    def count_applied(self, view: str, events: int) -> None:
        """Count events that a projector has applied."""
        self._applied.labels(view).inc(events)

    def count_conflict(self, _conflict: VersionConflict, tries_left: int) -> None:
        """Count a version conflict, and also the retry that follows if any tries are left."""
        self._conflicts.inc()
        if tries_left:
            self._retries.inc()

    def count_outage(self, error: Exception) -> None:
        """Count a call that failed because its server was unavailable."""
        self._outages.labels(server(error)).inc()

    def counters(self) -> bytes:
        """Return the counters in Prometheus' text format."""
        registry = self._registry
        if os.environ.get(SHARED_COUNTERS):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def gauges(self) -> bytes:
        """Return the current values that the servers report, in Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(_Sources(self._sources))
        return generate_latest(registry)


class _Sources:
    """A collector of all sources, which also counts the sources that could not be read."""

    def __init__(self, sources: Iterable[Families]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of each source, and the number of sources that could not be read."""
        failures = GaugeMetricFamily(
            "eventlab_unavailable",
            "Metric groups that are missing because a server did not respond.",
        )
        failed = 0
        for source in self._sources:
            try:
                yield from list(source())
            except SERVER_ERRORS:
                failed += 1
        failures.add_metric([], failed)
        yield failures


def meter(projector: Projector, metrics: Metrics) -> None:
    """Count the events that a projector applies, and the calls that fail during an outage."""
    for one in getattr(projector, "_parts", [projector]):  # one projector for each slice
        one.run_once = _metered(one.run_once, projector.name, metrics)


def _metered(run_once: Callable[[], int], view: str, metrics: Metrics) -> Callable[[], int]:
    def counted() -> int:
        try:
            applied = run_once()
        except SERVER_ERRORS as error:
            if is_outage(error):
                metrics.count_outage(error)
            raise
        if applied:
            metrics.count_applied(view, applied)
        return applied

    return counted


def category_metrics(store: EventStore) -> Families:
    """Return a source of metrics for a category: its appended events and its subscriptions."""

    def collect() -> Iterator[Metric]:
        total = CounterMetricFamily(
            "eventlab_events_appended",
            "Events that any process has appended to the category.",
            labels=["category"],
        )
        total.add_metric([store.category], appended(store))
        yield total
        events = GaugeMetricFamily(
            "eventlab_subscription_events",
            "Events that a subscription has not finished: new, pending, waiting for a retry,"
            " blocked by an earlier event of the same aggregate, and parked.",
            labels=["category", "subscription", "state"],
        )
        worst = GaugeMetricFamily(
            "eventlab_subscription_worst_slice_events",
            "Unfinished events of a subscription, in the slice that has the most of them.",
            labels=["category", "subscription"],
        )
        lost = GaugeMetricFamily(
            "eventlab_subscription_lost_slices",
            "Slices that have lost the consumer group of a subscription.",
            labels=["category", "subscription"],
        )
        for subscription in subscriptions_of(store):
            try:
                found = subscription.state()
            except SubscriptionLost:  # the subscription was removed after it was listed
                continue
            labels = [store.category, subscription.name]
            for state in STATES:
                events.add_metric([*labels, state], getattr(found.lag, state))
            if store.slices > 1:
                worst.add_metric(labels, found.worst.events)
                lost.add_metric(labels, found.lost)
        yield from (events, worst, lost)

    return collect


def view_metrics(states: Callable[[], Iterable[ViewState]]) -> Families:
    """Return a source of metrics for views: their lag, and whether they have stopped."""

    def collect() -> Iterator[Metric]:
        lag_events = GaugeMetricFamily(
            "eventlab_view_lag_events",
            "Lag of a view, in events. Above 10,000, it is an upper bound.",
            labels=["view"],
        )
        lag_seconds = GaugeMetricFamily(
            "eventlab_view_lag_seconds",
            "Lag of a view, in seconds: the age of the oldest event that it has not applied.",
            labels=["view"],
        )
        stopped = GaugeMetricFamily(
            "eventlab_view_stopped",
            "1 if a view cannot follow its category, or has stopped at an event.",
            labels=["view"],
        )
        of_category = GaugeMetricFamily(
            "eventlab_view_category_lag_events",
            "Lag of a joined view in one of its categories, in events.",
            labels=["view", "category"],
        )
        of_category_seconds = GaugeMetricFamily(
            "eventlab_view_category_lag_seconds",
            "Lag of a joined view in one of its categories, in seconds.",
            labels=["view", "category"],
        )
        for state in states():
            stopped.add_metric([state.view], bool(state.error))
            if not state.error:
                lag_events.add_metric([state.view], state.events)
                lag_seconds.add_metric([state.view], state.seconds)
            for category, lag in state.categories:
                of_category.add_metric([state.view, category], lag.events)
                of_category_seconds.add_metric([state.view, category], lag.seconds)
        yield from (lag_events, lag_seconds, stopped, of_category, of_category_seconds)

    return collect


def mail_metrics(counts: Callable[[], Mapping[str, int]]) -> Families:
    """Return a source of metrics for the mailroom: the number of emails in each state."""

    def collect() -> Iterator[Metric]:
        mails = GaugeMetricFamily(
            "eventlab_mailroom_mails",
            "Emails in each state; counted up to 100,000.",
            labels=["state"],
        )
        for state, count in counts().items():
            mails.add_metric([state], count)
        yield mails

    return collect
