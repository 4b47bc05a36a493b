"""Metrics for Prometheus, parsed by its own client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from prometheus_client.core import Metric

from eventlab import ANY, EventStore, Projector, Subscription, VersionConflict
from eventlab.accounts import AccountService, AccountView
from eventlab.mailroom.mail_view import counts_by_state, index_states
from eventlab.observe import metrics as observed
from eventlab.observe.lag import Glance, ViewState, subscriptions_of
from eventlab.observe.metrics import (
    Metrics,
    category_metrics,
    mail_metrics,
    meter,
    view_metrics,
)
from eventlab.projections.lag import ViewLag
from tests.support.metrics import samples
from tests.support.store import deposits, fill


def test_metrics_of_a_category_count_events_and_subscriptions(store: EventStore) -> None:
    fill(store, 4)
    letters = Subscription(store, "letters", consumer="one", max_failures=1)
    first, _ = letters.receive(2)
    letters.fail(first, "no such street")
    found = samples(Metrics(category_metrics(store)).gauges())
    assert found["eventlab_events_appended_total", (store.category,)] == 5
    counts = {state: found["eventlab_subscription_events", (store.category, state, "letters")]
              for state in ("new", "pending", "waiting", "blocked", "parked")}  # fmt: skip
    assert counts == {"new": 3, "pending": 1, "waiting": 0, "blocked": 0, "parked": 1}
    assert found["eventlab_unavailable", ()] == 0


def test_metrics_of_views_name_the_lag_and_what_has_stopped() -> None:
    states = [ViewState("a", "1-0", 3, 2.5), ViewState("b", error="it has stopped")]
    found = samples(Metrics(view_metrics(lambda: states)).gauges())
    assert found == {
        ("eventlab_view_lag_events", ("a",)): 3,
        ("eventlab_view_lag_seconds", ("a",)): 2.5,
        ("eventlab_view_stopped", ("a",)): 0,
        ("eventlab_view_stopped", ("b",)): 1,
        ("eventlab_unavailable", ()): 0,
    }


def test_metrics_of_slices_have_the_sum_and_the_worst_slice_of_a_subscription(
    redis_client: redis.Redis, category: str
) -> None:
    store = EventStore(redis_client, category, slices=64)
    Subscription(store, "letters", consumer="one")
    fill(store, 4)
    fill(store, 1, id="b")
    found = samples(Metrics(category_metrics(store)).gauges())
    assert found["eventlab_subscription_events", (category, "new", "letters")] == 7
    assert found["eventlab_subscription_worst_slice_events", (category, "letters")] == 5
    assert found["eventlab_subscription_lost_slices", (category, "letters")] == 0
    store.slice_of("b").forget_group("letters")
    found = samples(Metrics(category_metrics(store)).gauges())
    assert found["eventlab_subscription_lost_slices", (category, "letters")] == 1


def test_metrics_of_a_joined_view_have_its_lag_in_each_category() -> None:
    lags = (("accounts", ViewLag("1-0", 3, 2.0, exact=True)),
            ("mails", ViewLag("1-0", 4, 5.0, exact=True)))  # fmt: skip
    states = [ViewState("a", "", 7, 5.0, categories=lags)]
    found = samples(Metrics(view_metrics(lambda: states)).gauges())
    assert found["eventlab_view_lag_events", ("a",)] == 7
    assert found["eventlab_view_category_lag_events", ("mails", "a")] == 4
    assert found["eventlab_view_category_lag_seconds", ("accounts", "a")] == 2


def test_metrics_of_mails_count_each_state(mongo: Any, category: str) -> None:
    mails = mongo[category]
    index_states(mails)
    mails.insert_many([{"state": "held"}, {"state": "held"}, {"state": "submitted"}])
    found = samples(Metrics(mail_metrics(lambda: counts_by_state(mails))).gauges())
    assert found["eventlab_mailroom_mails", ("held",)] == 2
    assert found["eventlab_mailroom_mails", ("submitted",)] == 1
    assert found["eventlab_mailroom_mails", ("in_doubt",)] == 0
    plan = mails.find({"state": "held"}).explain()["queryPlanner"]["winningPlan"]
    assert "IXSCAN" in str(plan)


def test_metrics_escape_hostile_names(store: EventStore) -> None:
    fill(store, 1)
    name = 'a"} 9\n# HELP x\\'
    Subscription(store, name, consumer="one")
    found = samples(Metrics(category_metrics(store)).gauges())
    assert found["eventlab_subscription_events", (store.category, "new", name)] == 2


def test_metrics_say_that_a_server_is_unavailable_and_give_the_others() -> None:
    def broken() -> Iterator[Metric]:
        raise redis.exceptions.ConnectionError("secret: the address")

    text = Metrics(broken, view_metrics(lambda: [ViewState("a")])).gauges()
    assert samples(text)["eventlab_unavailable", ()] == 1
    assert samples(text)["eventlab_view_lag_events", ("a",)] == 0
    assert b"secret" not in text


def test_metered_projector_counts_events_and_outages(store: EventStore, mongo: Any) -> None:
    metrics = Metrics()
    fill(store, 4)
    with Projector(store, mongo, AccountView(store.category)) as projector:
        meter(projector, metrics)
        projector.catch_up()
        plain = store.redis.execute_command
        stop = threading.Event()

        def broken(*words: Any, **options: Any) -> Any:
            stop.set()
            raise redis.exceptions.ReadOnlyError("replica")

        store.append("a", deposits(1), expected=ANY)
        store.redis.execute_command = broken
        try:
            projector.run(stop, poll_interval=0.01)
        finally:
            store.redis.execute_command = plain
        projector.catch_up()
    found = samples(metrics.counters())
    assert found["eventlab_events_applied_total", (store.category,)] == 6
    assert found["eventlab_outages_total", ("Redis",)] == 1


def test_metered_projector_counts_no_outage_for_a_server_that_refuses() -> None:
    def refused() -> int:
        raise redis.exceptions.NoPermissionError("this user has no permissions")

    metrics = Metrics()
    projector: Any = SimpleNamespace(name="accounts", run_once=refused)
    meter(projector, metrics)
    with pytest.raises(redis.exceptions.NoPermissionError):
        projector.run_once()
    assert b"eventlab_outages_total{" not in metrics.counters()


def test_metrics_leave_out_a_subscription_that_is_gone_since_it_was_listed(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 1)
    Subscription(store, "kept", consumer="one")
    gone = Glance(store, "gone")
    monkeypatch.setattr(observed, "subscriptions_of", lambda s: [gone, *subscriptions_of(s)])
    found = samples(Metrics(category_metrics(store)).gauges())
    assert found["eventlab_subscription_events", (store.category, "new", "kept")] == 2
    assert not any("gone" in labels for _, labels in found)


def test_metered_projector_counts_the_events_of_all_slices(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    store = EventStore(redis_client, category, slices=64)
    metrics = Metrics()
    for number in range(5):
        fill(store, 1, id=f"account-{number}")
    with Projector(store, mongo, AccountView(category)) as projector:
        meter(projector, metrics)
        projector.catch_up()
    assert samples(metrics.counters())["eventlab_events_applied_total", (category,)] == 10


def test_conflicts_and_retries_of_a_service_are_counted(
    redis_client: redis.Redis, category: str
) -> None:
    metrics = Metrics()
    service = AccountService(EventStore(redis_client, category))
    service.accounts.on_conflict = metrics.count_conflict
    service.create("a")
    plain = service.accounts.store.append
    rivals = iter([True, True, False])

    def overtaken(id: str, events: Any, **options: Any) -> Any:
        if next(rivals, False):
            plain(id, deposits(1), expected=ANY)
        return plain(id, events, **options)

    service.accounts.store.append = overtaken  # type: ignore[method-assign]
    service.deposit("a", 5)
    found = samples(metrics.counters())
    assert found["eventlab_version_conflicts_total", ()] == 2
    assert found["eventlab_retries_total", ()] == 2
    rivals = iter([True])
    with pytest.raises(VersionConflict):
        service.deposit("a", 5, tries=1)
    found = samples(metrics.counters())
    assert found["eventlab_version_conflicts_total", ()] == 3
    assert found["eventlab_retries_total", ()] == 2
