"""The router sends each mail once, holds unknown outcomes, and reports them in its summary."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from eventlab import EventStore, Projector
from eventlab.errors import CommandRejected
from eventlab.events import Recorded
from eventlab.mailroom import sender
from eventlab.mailroom.durability import DurableLog
from eventlab.mailroom.errors import (
    ConsentRequired,
    GmailFailed,
    IntentLost,
    NotOnDisk,
    WorkItemUnsent,
)
from eventlab.mailroom.inbox import Inbox
from eventlab.mailroom.inbox_cursor import CURSOR_ID
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.mail_view import MailView
from eventlab.mailroom.router import Router
from eventlab.mailroom.selection import facts_of, reason_to_skip
from eventlab.mailroom.summary import Summary
from eventlab.mailroom.work_item import WorkItem
from eventlab.mailroom.worklist import Worklist
from eventlab.sandbox import fakes
from eventlab.sandbox.faults import Fault
from eventlab.sandbox.samples import samples
from eventlab.servers.binaries import find_redis
from tests.support.cluster import cluster
from tests.support.crash_servers import RedisServer, answers
from tests.support.mailroom import BATCH, ITEMS, Room, Where, is_stopped, mail, room, routing
from tests.support.waiting import wait_until

LIST = "GET /gmail/v1/users/me/messages"


def cursor(here: Room) -> list[dict[str, Any]]:
    return [event.data for event in here.store.read(CURSOR_ID)]


# ------------------------------------------------------------------------------------------ a round


def test_round_sends_each_mail_once_and_the_next_finds_nothing_new(here: Room) -> None:
    ids = here.deliver(3)
    hub = here.router()
    assert hub.run_once() == Summary(listed=3, new=3, submitted=3)
    assert [item.work_item_id for item in here.both.cxone.work_items] == [
        f"gmail:{id}" for id in ids
    ]
    assert {here.types(id) == ["received", "submitting", "submitted"] for id in ids} == {True}
    assert here.item(ids[0]).contact_id == here.both.cxone.work_items[0].contact_id
    assert hub.run_once() == here.router("another").run_once() == Summary()
    assert len(here.both.cxone.work_items) == 3


def test_work_item_has_the_text_and_the_sender(here: Room) -> None:
    here.both.gmail.deliver(mail(sender="joe+tag@example.com", body="Where is my parcel?"))
    here.router().run_once()
    [item] = here.both.cxone.work_items
    assert (item.sender, item.type) == ("joe+tag@example.com", "email")
    assert "Where is my parcel?" in item.payload


def test_round_sends_the_oldest_mail_first(here: Room) -> None:
    late = here.both.gmail.deliver(mail(1), internal_date_ms=2_000)
    early = here.both.gmail.deliver(mail(2), internal_date_ms=1_000)
    here.router().run_once()
    assert list(here.accepted()) == [early, late]


def test_router_routes_every_sample(here: Room) -> None:
    for sample in samples():
        here.both.gmail.deliver(sample.raw, labels=sample.label_ids, id=sample.gmail_id)
    inbox = [sample.gmail_id for sample in samples() if "INBOX" in sample.label_ids]
    reactions = {sample.gmail_id for sample in samples() if "reaction" in sample.name}
    assert here.router().run_once() == Summary(
        listed=len(inbox),
        new=len(inbox),
        submitted=len(inbox) - len(reactions),
        skipped=len(reactions),
    )
    assert here.accepted() == dict.fromkeys(set(inbox) - reactions, 1)


def test_automatic_mail_is_routed_with_its_own_type(here: Room) -> None:
    for _ in range(2):
        id = here.both.gmail.deliver(b"Auto-Submitted: auto-replied\r\n" + mail())
        here.router(
            automatic_type="email-auto" if here.both.cxone.work_items else "email"
        ).run_once()
        assert here.store.read(id)[0].data["automatic"] == "reply"
    here.deliver()
    here.router(automatic_type="email-auto").run_once()
    assert [item.type for item in here.both.cxone.work_items] == ["email", "email-auto", "email"]


@pytest.mark.parametrize("label", ["DRAFT", "SENT", "SPAM", "TRASH", "CHAT"])
def test_mail_that_is_not_for_an_agent_is_skipped_with_the_reason(here: Room, label: str) -> None:
    assert reason_to_skip(["INBOX", label]) == f"it has the label {label}"
    hidden = label in ("SPAM", "TRASH")  # Gmail does not list these with the inbox
    id = here.both.gmail.deliver(mail(), labels=["INBOX"] if hidden else ["INBOX", label])
    if hidden:
        here.both.gmail.faults.order(Fault(on=BATCH, status=503, times=1))
        with patched_pause(here, lambda: here.both.gmail.mailbox.modify([id], add=[label])):
            summary = here.router().run_once()
    else:
        summary = here.router().run_once()
    assert summary == Summary(listed=1, new=1, skipped=1)
    assert (here.item(id).status, here.item(id).reason) == ("skipped", f"it has the label {label}")
    assert here.both.cxone.work_items == []


@contextlib.contextmanager
def patched_pause(here: Room, act: Any) -> Iterator[None]:
    """Call `act` once, while the router waits before its next attempt."""

    class Pauses(list[float]):
        def append(self, seconds: float) -> None:
            if not self:
                act()
            super().append(seconds)

    here.pauses = Pauses()
    yield
    assert here.pauses


def test_mail_is_skipped_when_it_is_gone_before_it_is_read(here: Room) -> None:
    [id] = here.deliver()
    here.both.gmail.faults.order(Fault(on=BATCH, status=503, times=1))
    with patched_pause(here, lambda: here.both.gmail.delete(id)):
        assert here.router().run_once() == Summary(listed=1, new=1, skipped=1)
    assert here.item(id).reason == "it was deleted before it could be read"


def test_mail_that_leaves_the_inbox_is_skipped_and_routed_when_it_returns(
    here: Room,
) -> None:
    [id] = here.deliver()
    here.order(Fault(on=ITEMS, status=429, times=9))
    hub = here.router()
    assert hub.run_once().waiting == 1
    here.both.cxone.faults.clear()
    here.both.gmail.mailbox.modify([id], remove=["INBOX"])
    assert hub.run_once() == Summary(skipped=1)
    assert here.item(id).reason == "it is no longer in the inbox"
    here.both.gmail.mailbox.modify([id], add=["INBOX"])
    assert hub.run_once() == Summary(listed=1, new=1, submitted=1)
    assert here.accepted() == {id: 1}


def test_router_labels_routed_mails_and_survives_a_failure_to_label(
    here: Room, caplog: pytest.LogCaptureFixture
) -> None:
    [id] = here.deliver()
    here.router(label="routed").run_once()
    [label] = [
        label["id"] for label in here.both.gmail.mailbox.labels() if label["name"] == "routed"
    ]
    assert label in here.both.gmail.mailbox.get(id).label_ids
    [other] = here.deliver()
    here.both.gmail.faults.order(Fault(on="batchModify", status=403, body={"error": {"code": 403}}))
    assert here.router(label="routed").run_once().submitted == 1
    assert label not in here.both.gmail.mailbox.get(other).label_ids
    assert "1 emails could not be labeled 'routed'" in caplog.text


# --------------------------------------------------------------------------------------- the cursor


def test_cursor_moves_only_when_all_mails_before_it_are_recorded(
    here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = here.deliver(3)
    plain = Inbox._receive
    seen: list[str] = []

    def dies_at_the_third(self: Inbox, id: str, message: Any) -> None:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(id)
        plain(self, id, message)

    monkeypatch.setattr(Inbox, "_receive", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        here.router().run_once()
    assert cursor(here) == []
    monkeypatch.undo()
    assert here.router().run_once() == Summary(listed=3, new=1, submitted=3)
    assert here.accepted() == dict.fromkeys(ids, 1)
    assert [data["found"] for data in cursor(here)] == [3]


def test_unreadable_mail_delays_no_other_and_is_not_forgotten(here: Room) -> None:
    bad, good = here.deliver(2)
    here.both.gmail.faults.order(Fault(on=f"/messages/{bad}", status=500, times=30))
    hub = here.router(max_attempts=3)
    summary = hub.run_once()
    assert (summary.new, summary.submitted, summary.waiting) == (2, 1, 1)
    assert here.accepted() == {good: 1}
    assert len(cursor(here)) == 1
    here.both.gmail.faults.clear()
    assert hub.run_once() == Summary(submitted=1)
    assert here.accepted() == {good: 1, bad: 1}


def test_mail_that_gmail_never_returns_is_held(here: Room) -> None:
    [id] = here.deliver()
    here.both.gmail.faults.order(Fault(on=f"/messages/{id}", status=500, times=300))
    hub = here.router(max_attempts=2)
    assert hub.run_once() == Summary(listed=1, new=1, waiting=1)
    assert hub.run_once() == Summary(held=1, open=1)
    assert here.item(id).reason.startswith("failed 2 times; ")


def test_expired_history_lists_the_whole_inbox_and_sends_nothing_twice(
    here: Room,
) -> None:
    ids = here.deliver(2)
    hub = here.router()
    hub.run_once()
    ids += here.deliver(1)
    here.both.gmail.mailbox.forget_history()
    assert hub.run_once() == Summary(listed=3, new=1, submitted=1)
    assert here.accepted() == dict.fromkeys(ids, 1)


# ---------------------------------------------------------------- known and unknown outcomes


def test_refused_mail_keeps_the_reason_and_stops_no_other(
    here: Room,
) -> None:
    bad, good = here.deliver(2)
    here.order(
        Fault(
            on=ITEMS,
            status=400,
            headers=(("icStatusDescription", "Point of contact is not valid"),),
        )
    )
    assert here.router().run_once() == Summary(listed=2, new=2, submitted=1, refused=1)
    assert (here.item(bad).status, here.item(bad).reason) == (
        "refused",
        "Point of contact is not valid",
    )
    assert here.router().run_once() == Summary()
    assert here.router().resend(bad) == Summary(submitted=1)
    assert here.accepted() == {good: 1, bad: 1}


@pytest.mark.parametrize(
    ("fault", "taken", "reason"),
    [
        (Fault(on=ITEMS, drop="before"), 0, "the connection ended"),
        (Fault(on=ITEMS, drop="after"), 1, "the connection ended"),
        (Fault(on=ITEMS, status=500), 0, "CXone responded with 500"),
        (Fault(on=ITEMS, status=503), 0, "CXone responded with 503"),
    ],
)
def test_unknown_outcome_is_in_doubt_and_never_resent_automatically(
    here: Room, fault: Fault, taken: int, reason: str
) -> None:
    [id] = here.deliver()
    here.order(fault)
    hub = here.router()
    assert hub.run_once() == Summary(listed=1, new=1, held=1, open=1)
    assert here.status(id) == "in_doubt"
    assert reason in here.item(id).reason
    assert hub.run_once() == here.router().run_once() == Summary(open=1)
    assert here.accepted()[id] == taken
    assert here.both.cxone.faults.seen(ITEMS) == 1


def test_unsent_mail_is_retried_with_backoff_and_then_held(
    here: Room,
) -> None:
    [id] = here.deliver()
    here.order(Fault(on=ITEMS, status=429, times=1000))
    hub = here.router(backoff=1_000.0, max_attempts=3)
    assert hub.run_once() == Summary(listed=1, new=1, waiting=1)
    unsent = here.store.read(id)[-1]
    assert unsent.type == "unsent"
    assert (
        0 <= unsent.data["again"] - int(unsent.time.timestamp() * 1000) - 1_000_000 + 1_000 <= 2_000
    )
    assert hub.run_once() == Summary(waiting=1)
    assert here.types(id)[-1] == "unsent"  # its retry is not due yet
    hub = here.router(max_attempts=3, backoff=0.0)
    with an_hour_later():
        assert hub.run_once() == Summary(waiting=1)
        assert hub.run_once() == Summary(held=1, open=1)
    assert here.item(id).reason.startswith("failed 3 times; CXone is busy (429)")
    assert here.accepted() == {}


@contextlib.contextmanager
def an_hour_later() -> Iterator[None]:
    """Set Redis's clock, as the routers read it, an hour ahead."""
    plain = DurableLog.now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DurableLog, "now", lambda log: plain(log) + 3_600_000)
        yield


def test_backoff_doubles_up_to_an_hour(here: Room) -> None:
    hub = here.router(backoff=30.0)
    item = WorkItem("1")
    waits = []
    for item.failed_attempts in range(12):
        waits.append(hub._sender.retry_delay(item) // 1000)
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600, 3600]


def test_outage_of_cxone_counts_against_few_mails(here: Room) -> None:
    ids = here.deliver(8)
    here.order(Fault(on=ITEMS, status=429, times=1000))
    summary = here.router(batch_size=1).run_once()
    assert summary.problem == "CXone did not accept any of the last 3 emails"
    assert summary.waiting == 8
    assert [here.item(id).failed_attempts for id in ids] == [1, 1, 1, 0, 0, 0, 0, 0]


def test_round_attempts_no_mail_without_a_token(here: Room) -> None:
    ids = here.deliver(2)
    here.both.cxone.faults.order(Fault(on="POST /auth/token", status=401, times=1000))
    summary = here.router().run_once()
    assert (summary.new, summary.waiting) == (2, 2)
    assert "the work item was not sent" in summary.problem
    assert {tuple(here.types(id)) for id in ids} == {("received",)}


def test_mail_is_held_when_its_conversion_fails(
    here: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = here.deliver(2)
    plain = sender.payload_of

    def stumbles(message: Message, **options: Any) -> str:
        if message.gmail_id == bad:
            raise ArithmeticError("joe@example.com")
        return plain(message, **options)

    monkeypatch.setattr(sender, "payload_of", stumbles)
    assert here.router().run_once() == Summary(listed=2, new=2, submitted=1, held=1, open=1)
    assert here.accepted() == {good: 1}
    assert (
        here.item(bad).reason
        == "it could not be converted into a work item: see the error in the log"
    )
    assert f"email {bad}: ArithmeticError in " in caplog.text
    assert "joe@" not in caplog.text
    monkeypatch.undo()
    assert here.router().resend(bad) == Summary(submitted=1)


def test_mail_is_in_doubt_when_the_client_fails_while_sending(
    here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, _good = here.deliver(2)
    hub = here.router()
    plain = hub._cxone.post_work_item

    def stumbles(**fields: Any) -> str | None:
        if fields["work_item_id"] == f"gmail:{bad}":
            plain(**fields)
            raise ArithmeticError("joe@example.com")
        return plain(**fields)

    monkeypatch.setattr(hub._cxone, "post_work_item", stumbles)
    assert hub.run_once() == Summary(listed=2, new=2, submitted=1, held=1, open=1)
    assert here.status(bad) == "in_doubt"
    assert here.item(bad).reason.startswith("ArithmeticError in ")


# ------------------------------------------------------------------------------ an operator decides


def test_resend_sends_a_mail_that_is_in_doubt(here: Room) -> None:
    [id] = here.deliver()
    here.order(Fault(on=ITEMS, drop="before"))
    hub = here.router()
    hub.run_once()
    assert hub.resend(id) == Summary(submitted=1)
    assert here.accepted() == {id: 1}
    with pytest.raises(CommandRejected, match="CXone has it"):
        hub.resend(id)


def test_resend_is_rejected_before_the_deadline_of_another_router(here: Room) -> None:
    [id] = here.deliver()
    received_only(here)
    here.under_way(id)
    hub = here.router()
    with pytest.raises(CommandRejected, match="router another may still be sending it"):
        hub.resend(id)
    assert hub.run_once() == Summary()
    assert here.types(id) == ["received", "submitting"]
    assert here.accepted() == {}


def received_only(here: Room) -> None:
    """Run a round of a router that is stopped before it sends anything."""
    stop = threading.Event()
    stop.set()
    summary = here.router().run_once(stop)
    assert summary.problem == "the router was stopped"


def test_mail_is_in_doubt_after_the_deadline_of_a_silent_router(here: Room) -> None:
    [id] = here.deliver()
    received_only(here)
    here.under_way(id, deadline=1)
    assert here.router().run_once() == Summary(held=1, open=1)
    assert here.item(id).reason.startswith("router another did not report an outcome")
    assert here.accepted() == {}


def test_resend_changes_nothing_without_a_token(here: Room) -> None:
    [id] = here.deliver()
    here.order(Fault(on=ITEMS, drop="before"))
    here.router().run_once()
    here.both.cxone.expire_tokens()
    here.both.cxone.faults.order(Fault(on="POST /auth/token", status=401, times=1000))
    with pytest.raises(WorkItemUnsent):
        here.router().resend(id)
    assert here.types(id)[-1] == "in_doubt"


# ---------------------------------------------------------------------------------- several routers


def test_two_routers_send_nothing_twice(here: Room) -> None:
    ids = here.deliver(60)
    routers = [here.router(f"hub-{n}", batch_size=3) for n in range(2)]
    summaries: list[Summary] = []
    begin = threading.Barrier(2)

    def work(hub: Router) -> None:
        begin.wait()
        summaries.append(hub.run_once())

    threads = [threading.Thread(target=work, args=(hub,)) for hub in routers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert here.accepted() == dict.fromkeys(ids, 1)
    assert [
        sum(getattr(summary, of) for summary in summaries) for of in ("new", "submitted", "held")
    ] == [60, 60, 0]
    assert here.router().run_once() == Summary()


def test_mail_is_left_to_the_router_that_took_it_first(
    here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    [id] = here.deliver()
    received_only(here)
    hub = here.router()
    plain = WorkItem.submit

    def too_late(item: WorkItem, **options: Any) -> int:
        monkeypatch.undo()
        here.under_way(id)
        return plain(item, **options)

    monkeypatch.setattr(WorkItem, "submit", too_late)
    assert hub.run_once() == Summary()
    assert here.types(id) == ["received", "submitting"]
    assert here.accepted() == {}


def where(server: RedisServer, here: Room, name: str, **more: Any) -> Where:
    return Where(server.socket, here.store.category, here.both.settings(), name, **more)


def overtaken(here: Room, id: str) -> None:
    """Run a round of another router after the deadline of a stopped one."""
    wait_until(lambda: here.item(id).deadline < DurableLog(here.store).now())
    assert here.router("south").run_once() == Summary(held=1, open=1)
    assert here.status(id) == "in_doubt"


def test_router_suspended_before_its_deadline_check_does_not_send_late(
    server: RedisServer, here: Room
) -> None:
    [id] = here.deliver()
    with routing(where(server, here, "north", stop_at="fsynced", rounds=1)) as (process, summaries):
        wait_until(lambda: is_stopped(process.pid))
        assert here.status(id) == "submitting"
        overtaken(here, id)
        continue_(process.pid)
        summary = summaries.get(timeout=40)
        assert (summary.submitted, summary.waiting, summary.held) == (0, 1, 0)
        assert here.accepted() == {}
        # The outcome is known now: the mail was never sent, and the next round sends it.
        assert here.types(id) == ["received", "submitting", "in_doubt", "unsent"]
        assert here.item(id).reason == "its deadline passed before it could be sent"
        assert here.router("south").run_once() == Summary(submitted=1)
    assert here.accepted() == {id: 1}


def test_router_suspended_after_its_deadline_check_closes_the_doubt(
    server: RedisServer, here: Room
) -> None:
    [id] = here.deliver()
    with routing(where(server, here, "north", stop_at="posting", rounds=1)) as (process, summaries):
        wait_until(lambda: is_stopped(process.pid))
        overtaken(here, id)
        # Held for review, and not resent automatically.
        assert here.router("south").run_once() == Summary(open=1)
        continue_(process.pid)
        summary = summaries.get(timeout=40)
    assert (summary.submitted, summary.duplicates, summary.open) == (1, 0, 0)
    assert here.types(id) == ["received", "submitting", "in_doubt", "submitted"]
    assert here.accepted() == {id: 1}


def test_second_work_item_is_reported_after_a_resend_by_an_operator(
    server: RedisServer, here: Room, mongo: Any
) -> None:
    [id] = here.deliver()
    with routing(where(server, here, "north", stop_at="posting", rounds=1)) as (process, summaries):
        wait_until(lambda: is_stopped(process.pid))
        overtaken(here, id)
        assert here.router("south").resend(id) == Summary(submitted=1)
        continue_(process.pid)
        summary = summaries.get(timeout=40)
    assert (summary.submitted, summary.duplicates) == (1, 1)
    assert "DUPLICATES 1" in str(summary)
    first, second = (item.contact_id for item in here.both.cxone.work_items)
    item = here.item(id)
    assert (item.status, item.contact_id, item.accepted_count) == ("submitted", first, 2)
    assert here.store.read(id)[-1].data == {
        "outcome": "submitted",
        "attempt": 1,
        "contact_id": second,
    }
    with Projector(here.store, mongo, MailView(here.store.category)) as projector:
        projector.run_once()
    assert mongo[here.store.category].find_one({"_id": id})["contact_ids"] == [first, second]


def continue_(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


# ----------------------------------------------------------------------------------------- the disk


def test_intent_is_on_disk_before_the_post(
    redis_client: redis.Redis, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis fsyncs every second here, so the router has to wait for it."""
    with room(redis_client, category) as here:
        [id] = here.deliver()
        hub = here.router()
        seen: list[tuple[str, int]] = []
        wait = hub._durable_log.wait_until_fsynced

        def wait_and_record(events: Sequence[Recorded] = ()) -> None:
            wait(events)
            seen.append((here.status(id), len(here.both.cxone.work_items)))

        monkeypatch.setattr(hub._durable_log, "wait_until_fsynced", wait_and_record)
        assert hub.run_once().submitted == 1
        assert seen == [("submitting", 0)]


def test_intent_that_a_failover_lost_is_not_sent_and_the_next_round_sends_the_mail(
    here: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    [lost, kept] = here.deliver(2)
    hub = here.router()
    redis_client: Any = here.store.redis
    intend = hub._sender.intend

    def intend_and_lose(id: str, prepared: Any) -> Any:
        """Delete acknowledged writes, as if a replica without them had taken over."""
        intent = intend(id, prepared)
        if id == lost:
            redis_client.rpop(here.store.keys.log(id))
            redis_client.xdel(here.store.keys.stream, here.store.head())
        return intent

    monkeypatch.setattr(hub._sender, "intend", intend_and_lose)
    with pytest.raises(IntentLost, match="lost in a failover"):
        hub.run_once()
    assert here.accepted() == {}
    assert (here.types(lost), here.types(kept)[-1]) == (["received"], "unsent")
    stop = threading.Event()
    monkeypatch.setattr(
        hub._sender, "intend", lambda id, prepared: stop.set() or intend_and_lose(id, prepared)
    )
    hub.watch(stop, poll_interval=0.01)  # it waits for the next round, and needs no operator
    assert "this round failed, and the next round tries again: Redis" in caplog.text
    monkeypatch.undo()
    assert hub.run_once() == Summary(submitted=2)
    assert here.accepted() == {lost: 1, kept: 1}


def test_durable_log_waits_on_the_connection_that_wrote(
    redis_client: redis.Redis, category: str
) -> None:
    store = EventStore(redis_client, category)
    sent = list[str]()
    with redis_client.monitor() as monitor:
        DurableLog(store).wait_until_fsynced()
        for command in monitor.listen():
            sent.append(
                command["command"].split()[0]
                + " "
                + command["client_port"]
                + command["client_address"]
            )
            if "WAITAOF" in sent[-1]:
                break
    assert [line.split()[0] for line in sent[-2:]] == ["SET", "WAITAOF"]
    assert len({line.split()[1] for line in sent[-2:]}) == 1


@contextlib.contextmanager
def redis_with(folder: Path, *options: str) -> Iterator[redis.Redis]:
    binary = find_redis()
    socket = folder / "r.sock"
    command = [
        str(binary.path),
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--dir",
        str(folder),
        "--save",
        "",
        *options,
    ]
    with subprocess.Popen(command, env=dict(binary.env), stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(unix_socket_path=str(socket)) as client:
                wait_until(lambda: answers(client))
                yield client
        finally:
            process.kill()


OLD = ("--rename-command", "WAITAOF", "")  # as before Redis 7.2


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--appendonly", "no"), "has no append-only file: run CONFIG SET appendonly yes"),
        (
            (*OLD, "--appendonly", "yes", "--appendfsync", "everysec"),
            "does not report when it has fsynced",
        ),
        (
            (*OLD, "--appendonly", "no", "--appendfsync", "always"),
            "does not report when it has fsynced",
        ),
        ((*OLD, "--rename-command", "CONFIG", ""), "does not report whether it fsyncs"),
    ],
)
def test_nothing_is_sent_when_redis_promises_no_durability(
    tmp_path: Path, category: str, options: tuple[str, ...], remedy: str
) -> None:
    with redis_with(tmp_path, *options) as client, room(client, category) as here:
        [id] = here.deliver()
        with pytest.raises(NotOnDisk, match=remedy):
            here.router().run_once()
        assert here.accepted() == {}
        assert here.types(id)[-1] == "unsent"  # not in doubt: it is certain that it was not sent


def test_older_redis_that_always_fsyncs_is_accepted(tmp_path: Path, category: str) -> None:
    options = (*OLD, "--appendonly", "yes", "--appendfsync", "always")
    with redis_with(tmp_path, *options) as client, room(client, category) as here:
        here.deliver()
        assert here.router().run_once().submitted == 1


def test_durable_log_waits_for_the_master_of_its_category_in_a_cluster(tmp_path: Path) -> None:
    with cluster(tmp_path) as client:
        for category in ("accountStream", "mailStream", "s2"):  # each on a different master
            with room(client, category) as here:  # type: ignore[arg-type]
                here.deliver()
                with pytest.raises(NotOnDisk, match="has no append-only file"):
                    here.router().run_once()
                client.config_set(
                    "appendonly", "yes", target_nodes=client.get_node_from_key(category)
                )
                assert here.router().run_once().submitted == 1


def test_durable_log_reports_a_slow_disk(tmp_path: Path, category: str) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "no")
    with redis_with(tmp_path, *options) as client:
        store = EventStore(client, category)
        with pytest.raises(NotOnDisk, match=r"after 0.2 s, only 0 of 1 disks"):
            DurableLog(store, timeout=0.2).wait_until_fsynced()


def test_outcome_is_recorded_when_redis_returns(
    tmp_path: Path, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = RedisServer(tmp_path)
    back = threading.Timer(1.0, own.start)
    try:
        impatient = redis.Redis(unix_socket_path=own.socket, retry=Retry(NoBackoff(), 0))
        with impatient as client, room(client, category) as here:
            [id] = here.deliver()
            hub = here.router()
            plain = hub._cxone.post_work_item

            def taken_and_redis_dies(**fields: Any) -> str | None:
                contact_id = plain(**fields)
                own.kill()
                back.start()
                return contact_id

            monkeypatch.setattr(hub._cxone, "post_work_item", taken_and_redis_dies)
            assert hub.run_once() == Summary(listed=1, new=1, submitted=1)
            assert here.types(id) == ["received", "submitting", "submitted"]
    finally:
        if back.ident is not None:
            back.join()
        own.kill()


# ------------------------------------------------------------------------------------ Gmail is down


def test_round_loses_nothing_when_gmail_is_down_or_its_token_is_revoked(
    here: Room,
) -> None:
    ids = here.deliver(2)
    hub = here.router()
    here.both.gmail.faults.order(Fault(on=LIST, status=503, times=50))
    with pytest.raises(GmailFailed):
        hub.run_once()
    here.both.gmail.faults.clear()
    here.both.gmail.revoke()
    here.both.gmail.expire_tokens()
    with pytest.raises(ConsentRequired):
        hub.run_once()
    here.both._token = here.both.gmail.write_token(here.both._token, here.both.gmail_url)
    assert here.router().run_once() == Summary(listed=2, new=2, submitted=2)
    assert here.accepted() == dict.fromkeys(ids, 1)


def test_watch_runs_until_stopped_and_survives_a_failed_round(
    here: Room, caplog: pytest.LogCaptureFixture
) -> None:
    here.deliver(1)
    here.both.gmail.faults.order(Fault(on="/profile", status=503, times=7))
    stop = threading.Event()
    summaries: list[Summary] = []

    def report(summary: Summary) -> None:
        summaries.append(summary)
        here.deliver(1)
        if len(summaries) == 3:
            stop.set()

    here.router().watch(stop, poll_interval=0.01, report=report)
    assert [summary.submitted for summary in summaries] == [1, 1, 1]
    assert "this round failed" in caplog.text
    here.both.gmail.revoke()
    here.both.gmail.expire_tokens()
    with pytest.raises(ConsentRequired):
        here.router().watch(threading.Event(), poll_interval=0.01)


# ------------------------------------------------------------------------------------- what is kept

CANARIES = {
    "address": "canary-address@example.com",
    "name": "Canary Surname",
    "subject": "CanarySubject",
    "body": "CanaryBody",
    "attachment": "canary-attachment.pdf",
    "token": "CanaryToken",
    "secret": "CanarySecret",
}


def canary_mail() -> bytes:
    canary = CANARIES
    return (
        f"From: {canary['name']} <{canary['address']}>\r\nReply-To: {canary['address']}\r\n"
        f"Subject: {canary['subject']}\r\n"
        f"Message-ID: <{canary['subject']}@example.com>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
        f"{canary['body']}\r\n--b\r\nContent-Type: application/pdf; name={canary['attachment']}\r\n"
        f"Content-Disposition: attachment; filename={canary['attachment']}\r\n\r\n"
        f"{canary['body']}\r\n--b--\r\n"
    ).encode()


def everything_in(client: redis.Redis, category: str) -> str:
    """Return everything under the keys of a category, as text."""
    found = list[object]()
    for key in client.scan_iter(match=f"*{category}*"):
        read = {
            b"string": lambda key: client.get(key),
            b"list": lambda key: client.lrange(key, 0, -1),
            b"set": lambda key: client.smembers(key),
            b"hash": lambda key: client.hgetall(key),
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"stream": lambda key: client.xrange(key),
        }[client.type(key)]
        found += [key, read(key)]
    return repr(found)


FAULTS = (
    None,
    Fault(
        on=ITEMS,
        status=400,
        headers=(("icStatusDescription", f"cannot take work from {CANARIES['address']}"),),
    ),
    Fault(on=ITEMS, drop="after"),
    Fault(on=ITEMS, status=429, times=4),
    Fault(on=BATCH, status=503),
)


def test_nothing_secret_and_nothing_of_a_mail_is_stored_or_logged(
    server: RedisServer,
    category: str,
    mongo: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)  # for every logger
    plain = fakes.gmail.create_fake_gmail
    secrets = {"client_secret": CANARIES["secret"], "token_word": CANARIES["token"]}
    monkeypatch.setattr(
        fakes.gmail,
        "create_fake_gmail",
        lambda mails, **options: plain(mails, **secrets, **options),
    )
    with server.client() as client, room(client, category) as here:
        cxone = here.both.cxone
        bearers: set[str] = set()
        issue = cxone.issuer.issue

        def noted(*scopes: str) -> str:
            token = issue(*scopes)
            bearers.add(token)
            return token

        monkeypatch.setattr(cxone.issuer, "issue", noted)
        for fault in FAULTS:
            here.both.gmail.deliver(canary_mail())
            cxone.expire_tokens()
            here.both.gmail.expire_tokens()
            if fault is not None:
                (here.both.gmail.faults if fault.on == BATCH else cxone.faults).order(fault)
            here.router(label="routed").run_once()
        assert {here.status(id) for id in here.store.ids() if id != CURSOR_ID} == {
            "submitted",
            "refused",
            "in_doubt",
        }
        assert CANARIES["body"] in cxone.work_items[0].payload  # the canaries reached CXone
        assert len(bearers) >= len(FAULTS)
        with Projector(here.store, mongo, MailView(category)) as projector:
            projector.run_once()
        kept = everything_in(client, category) + repr(list(mongo[category].find()))
    assert "example.com" in kept  # the domain is
    known = cxone.credentials
    hidden = {*CANARIES.values(), *bearers, known.secret, known.client_secret, known.key}
    for place, text in (("the log", caplog.text), ("Redis or MongoDB", kept)):
        assert len(text) > 1000
        assert [secret for secret in hidden if secret.casefold() in text.casefold()] == [], place


def test_facts_hold_sizes_a_domain_and_a_hash() -> None:
    resource = {
        "id": "1",
        "threadId": "2",
        "internalDate": "1700000000123",
        "raw": encoded(canary_mail()),
    }
    found = facts_of(Message.from_gmail(resource))
    assert found["date"] == 1_700_000_000_123
    assert (found["thread_id"], found["domain"], found["size"]) == (
        "2",
        "example.com",
        len(canary_mail()),
    )
    assert len(found["message_hash"]) == 16
    odd = facts_of(Message.from_gmail({"id": "1", "raw": encoded(b'From: <"a b"@"c d">\r\n\r\nx')}))
    assert odd["domain"] == ""


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def test_mail_view_has_a_document_per_mail_with_state_and_age(here: Room, mongo: Any) -> None:
    good, bad = here.deliver(2)
    here.order(Fault(on=ITEMS, skip=1, drop="before"))
    here.router().run_once()
    with Projector(here.store, mongo, MailView(here.store.category)) as projector:
        projector.run_once()
    found = {document["_id"]: document for document in mongo[here.store.category].find()}
    assert found.keys() == {good, bad}
    assert {
        "state": "submitted",
        "domain": "example.com",
        "attempts": 1,
        "contact_id": "412345678900000001",
    }.items() <= (found[good].items())
    assert found[bad]["state"] == "in_doubt"
    assert "connection ended" in found[bad]["reason"]
    assert found[bad]["since"].timestamp() > found[bad]["received"].timestamp()


# ------------------------------------------------------------------------------------- the worklist


def test_worklist_reads_new_events_and_after_a_trim_the_aggregate_logs(here: Room) -> None:
    ids = here.deliver(3)
    here.order(Fault(on=ITEMS, drop="before", times=2))
    worklist = Worklist(here.store)
    here.router().run_once()
    worklist.refresh()
    assert [item.id for item in worklist.with_status("in_doubt")] == ids[:2]
    here.router().resend(ids[0])
    worklist.refresh()
    assert [item.id for item in worklist.with_status("in_doubt")] == ids[1:2]
    assert here.store.trim(before=here.store.head()) > 0
    for fresh in (Worklist(here.store), worklist):
        fresh.refresh()
        assert [item.id for item in fresh.with_status("in_doubt", "received", "held")] == ids[1:2]


def test_summary_is_one_line() -> None:
    assert str(Summary()) == "listed 0, nothing new: submitted 0, held 0, refused 0, skipped 0"
    full = Summary(
        listed=9,
        new=8,
        submitted=3,
        held=1,
        refused=1,
        skipped=1,
        duplicates=1,
        waiting=2,
        open=4,
        problem="busy",
    )
    assert str(full) == (
        "listed 9, new 8: submitted 3, held 1, refused 1, skipped 1; "
        "DUPLICATES 1: CXone has two work items for the same email; 2 to be sent later; "
        "4 held for review in total (eventlab route --held); stopped early: busy"
    )
    assert (Summary(listed=3, open=2).quiet, full.quiet) == (True, False)
