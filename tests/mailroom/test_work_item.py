"""The rules of a work item: when it may be sent, what a reply means, what an operator decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlab.errors import CommandRejected
from eventlab.events import Recorded
from eventlab.mailroom.inbox_cursor import CURSOR_ID, InboxCursor
from eventlab.mailroom.mail_view import MailView
from eventlab.mailroom.work_item import WorkItem, WorkItemCommandRejected
from eventlab.projections.view import Changes
from tests.support.examples import examples

ID = "18c2a0b1c2d3e4f5"
NOW = 1_000_000
DEADLINE = 1_100_000
AFTER = 1_100_001


def received() -> WorkItem:
    item = WorkItem(ID)
    item.receive({"date": 5, "domain": "example.com"})
    return item


def submitting(router: str = "hub") -> WorkItem:
    item = received()
    item.submit(router=router, now=NOW, deadline=DEADLINE)
    return item


def in_doubt() -> WorkItem:
    item = submitting()
    item.expire(AFTER)
    return item


def submitted() -> WorkItem:
    item = submitting()
    item.accepted(1, "7")
    return item


def held() -> WorkItem:
    item = received()
    item.hold("odd")
    return item


def refused() -> WorkItem:
    item = submitting()
    item.refused(1, 400, "Point of contact is not valid")
    return item


def skipped() -> WorkItem:
    item = WorkItem(ID)
    item.skip("it has the label DRAFT")
    return item


def types(item: WorkItem) -> list[str]:
    return [event.type for event in item.changes]


# --------------------------------------------------------------------------------- the normal path


def test_work_item_is_received_submitted_and_accepted() -> None:
    item = submitted()
    assert types(item) == ["received", "submitting", "submitted"]
    assert (item.status, item.contact_id, item.accepted_count, item.open_attempts) == (
        "submitted",
        "7",
        1,
        [],
    )
    assert (item.date, item.domain) == (5, "example.com")
    assert item.changes[1].data == {"router": "hub", "deadline": DEADLINE, "attempt": 1}


def test_accepted_allows_a_missing_contact_id() -> None:
    item = submitting()
    item.accepted(1, None)
    assert (item.status, item.contact_id) == ("submitted", None)


@pytest.mark.parametrize("make", [submitting, submitted, in_doubt, held, refused, skipped])
def test_submit_is_rejected_unless_received(make: Callable[[], WorkItem]) -> None:
    with pytest.raises(WorkItemCommandRejected, match="must not be sent"):
        make().submit(router="other", now=NOW, deadline=DEADLINE)


@pytest.mark.parametrize("make", [received, submitting, submitted, in_doubt, held, refused])
def test_receive_is_rejected_the_second_time(make: Callable[[], WorkItem]) -> None:
    with pytest.raises(WorkItemCommandRejected, match="already been received"):
        make().receive({"date": 5})


def test_receive_accepts_a_skipped_mail() -> None:
    item = skipped()
    item.receive({"date": 5})
    assert (item.status, item.reason) == ("received", "")


@pytest.mark.parametrize("make", [submitting, submitted, in_doubt, held, refused, skipped])
def test_skip_is_rejected_after_an_attempt(make: Callable[[], WorkItem]) -> None:
    with pytest.raises(WorkItemCommandRejected, match="can no longer be skipped"):
        make().skip("it has the label TRASH")


# ---------------------------------------------------------------------------- retried, then held


def test_unsent_work_item_is_retried_later_and_then_held() -> None:
    item = received()
    for attempt in (1, 2):
        item.submit(router="hub", now=NOW, deadline=DEADLINE)
        item.unsent(attempt, "busy", retry_at=NOW + 9_000, max_attempts=3)
        with pytest.raises(WorkItemCommandRejected, match="must not be sent for another 9 s"):
            item.submit(router="hub", now=NOW, deadline=DEADLINE)
        item.due = NOW
    item.submit(router="hub", now=NOW, deadline=DEADLINE)
    item.unsent(3, "busy", retry_at=NOW, max_attempts=3)
    assert (item.status, item.reason) == ("held", "failed 3 times; busy")
    item.resend(NOW)
    assert (item.status, item.failed_attempts, item.due) == ("received", 0, 0)
    assert item.submit(router="hub", now=NOW, deadline=DEADLINE) == 4


def test_postponed_work_item_is_held_after_max_attempts() -> None:
    item = received()
    item.postpone("Gmail does not give it", retry_at=NOW + 1, max_attempts=2)
    assert (item.status, item.due) == ("received", NOW + 1)
    item.postpone("Gmail does not give it", retry_at=NOW + 1, max_attempts=2)
    assert (item.status, item.reason) == ("held", "failed 2 times; Gmail does not give it")
    for late in (item.hold, lambda why: item.postpone(why, retry_at=NOW, max_attempts=2)):
        with pytest.raises(WorkItemCommandRejected, match="it is held and cannot be"):
            late("odd")


# ------------------------------------------------------------------------------------- the deadline


def test_decisions_are_rejected_before_the_deadline() -> None:
    for decide in (WorkItem.expire, WorkItem.resend, WorkItem.confirm):
        item = submitting("north")
        with pytest.raises(
            WorkItemCommandRejected,
            match=r"router north may still be sending it: wait for its deadline, 100 s",
        ):
            decide(item, NOW)
        with pytest.raises(WorkItemCommandRejected):
            decide(item, DEADLINE)
        assert types(item) == ["received", "submitting"]


def test_expired_work_item_is_in_doubt_with_the_reason() -> None:
    item = in_doubt()
    assert item.status == "in_doubt"
    assert item.reason == "router hub did not report an outcome before its deadline"
    with pytest.raises(WorkItemCommandRejected, match="no router is sending it"):
        item.expire(AFTER)


def test_operator_can_decide_right_after_the_deadline() -> None:
    item = submitting()
    item.resend(AFTER)
    assert types(item)[2:] == ["in_doubt", "resent"]
    item = submitting()
    item.confirm(AFTER, "7")
    assert types(item)[2:] == ["in_doubt", "confirmed"]
    assert (item.status, item.contact_id) == ("submitted", "7")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: WorkItem(ID), "no such email"),
        (received, "will be sent automatically"),
        (submitted, "CXone has it"),
        (skipped, "was skipped"),
    ],
)
def test_operator_decides_only_open_work_items(make: Callable[[], WorkItem], sentence: str) -> None:
    for decide in (WorkItem.resend, WorkItem.confirm):
        with pytest.raises(WorkItemCommandRejected, match=sentence) as raised:
            decide(make(), AFTER)
        assert isinstance(raised.value, CommandRejected)
        assert ID in str(raised.value)


def test_refused_work_item_can_be_resent_but_not_confirmed() -> None:
    item = refused()
    assert (item.status, item.reason) == ("refused", "Point of contact is not valid")
    with pytest.raises(WorkItemCommandRejected, match="CXone rejected it"):
        item.confirm(NOW)
    item.resend(NOW)
    assert item.status == "received"


# ------------------------------------------------------------------------------------- late answers


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (lambda item: item.accepted(1, "7"), "submitted"),
        (lambda item: item.refused(1, 400, "no"), "refused"),
        (lambda item: item.unsent(1, "busy", retry_at=0, max_attempts=9), "received"),
    ],
)
@pytest.mark.parametrize(
    "decide", [lambda item: None, lambda item: item.confirm(AFTER), lambda item: item.resend(AFTER)]
)
def test_late_response_resolves_a_doubt_whatever_was_decided_meanwhile(
    answer: Callable[[WorkItem], None], status: str, decide: Callable[[WorkItem], None]
) -> None:
    item = in_doubt()
    decide(item)
    answer(item)
    assert (item.status, item.open_attempts) == (status, [])
    with pytest.raises(WorkItemCommandRejected, match="the outcome of attempt 1 is already known"):
        answer(item)


def test_late_doubt_changes_nothing() -> None:
    item = in_doubt()
    item.confirm(AFTER, "7")
    item.doubted(1, "the connection broke")
    assert (item.status, item.contact_id, types(item)[-1]) == ("submitted", "7", "confirmed")


def resent_and_taken() -> WorkItem:
    item = in_doubt()
    item.resend(AFTER)
    assert item.submit(router="south", now=AFTER, deadline=AFTER + 1) == 2
    item.accepted(2, "8")
    return item


def test_second_acceptance_is_counted_as_a_duplicate() -> None:
    item = resent_and_taken()
    assert (item.accepted_count, item.open_attempts) == (1, [1])
    item.accepted(1, "7")
    assert types(item)[-1] == "late"
    assert item.changes[-1].data == {"outcome": "submitted", "attempt": 1, "contact_id": "7"}
    assert (item.status, item.contact_id, item.accepted_count) == ("submitted", "8", 2)


def test_late_failure_of_an_older_attempt_changes_nothing() -> None:
    item = resent_and_taken()
    item.refused(1, 400, "no")
    assert (item.status, item.accepted_count, item.contact_id, types(item)[-1]) == (
        "submitted",
        1,
        "8",
        "late",
    )


def test_work_item_accepted_late_is_not_resent_when_the_newer_attempt_fails() -> None:
    item = in_doubt()
    item.resend(AFTER)
    item.submit(router="south", now=AFTER, deadline=AFTER + 1)
    item.accepted(1, "7")
    assert (item.status, item.accepted_count) == ("submitting", 1)
    item.unsent(2, "busy", retry_at=0, max_attempts=9)
    assert (item.status, item.contact_id, item.accepted_count, item.open_attempts) == (
        "submitted",
        "7",
        1,
        [],
    )


# --------------------------------------------------------------------------------- whatever happens

COMMANDS: list[Callable[[WorkItem, int, int], object]] = [
    lambda item, now, attempt: item.receive({"date": now}),
    lambda item, now, attempt: item.skip("gone"),
    lambda item, now, attempt: item.submit(router="hub", now=now, deadline=now + 5),
    lambda item, now, attempt: item.accepted(attempt, str(attempt)),
    lambda item, now, attempt: item.refused(attempt, 400, "no"),
    lambda item, now, attempt: item.unsent(attempt, "busy", retry_at=now + 2, max_attempts=3),
    lambda item, now, attempt: item.doubted(attempt, "broke"),
    lambda item, now, attempt: item.expire(now),
    lambda item, now, attempt: item.postpone("away", retry_at=now + 2, max_attempts=3),
    lambda item, now, attempt: item.hold("odd"),
    lambda item, now, attempt: item.resend(now),
    lambda item, now, attempt: item.confirm(now, "c"),
]


LIKELY = [
    0,
    2,
    2,
    2,
    3,
    3,
    5,
    7,
    7,
    10,
    10,
    *range(len(COMMANDS)),
]  # otherwise few walks reach a second attempt
STEPS = st.tuples(
    st.sampled_from([COMMANDS[n] for n in LIKELY]),
    st.integers(0, 9),
    st.sampled_from([0, 0, 0, 1, 2]),
)


@settings(max_examples=examples(500), derandomize=True, deadline=None)
@given(st.lists(STEPS, min_size=20, max_size=60))
def test_no_order_of_commands_sends_twice_without_an_operator(
    steps: list[tuple[Callable[[WorkItem, int, int], object], int, int]],
) -> None:
    item = WorkItem(ID)
    now = 0
    resent = 0
    answered: set[int] = set()
    for command, passes, back in steps:
        now += passes
        before = item.status
        known = len(item.changes)
        try:
            command(item, now, max(1, item.attempt - back))
        except WorkItemCommandRejected:
            assert len(item.changes) == known
            continue
        for event in item.changes[known:]:
            resent += event.type == "resent"
            if event.type in ("submitted", "refused", "late") or (
                event.type in ("unsent", "held") and event.data.get("attempt")
            ):
                assert event.data["attempt"] not in answered
                answered.add(event.data["attempt"])
        if item.status == "submitting" and before != "submitting":
            assert len(item.open_attempts) <= resent + 1
    accepted = sum(1 for e in item.changes if "submitted" in (e.type, e.data.get("outcome")))
    assert item.accepted_count == accepted <= resent + 1
    again = WorkItem(ID)
    changes = Changes()
    stored = [Recorded(ID, n, e.type, e.data, f"{n}-0") for n, e in enumerate(item.changes, 1)]
    again.replay(stored)
    assert {**again.state(), "changed_at": "0-0"} == item.state()
    for event in stored:
        MailView().apply(event, changes)
    if stored:
        document = changes[ID].update()
        assert document["$set"]["state"] == item.status
        pushed = document.get("$push", {}).get("contact_ids", {"$each": []})["$each"]
        assert len(pushed) == item.accepted_count


# --------------------------------------------------------------------------------- mailbox and view


def test_cursor_records_only_moves() -> None:
    cursor = InboxCursor(CURSOR_ID)
    cursor.advance("1001", found=3)
    cursor.advance("1001", found=0)
    assert (cursor.history_id, len(cursor.changes)) == ("1001", 1)
    assert not all(letter in "0123456789abcdef" for letter in CURSOR_ID)


def test_mail_view_rejects_an_unknown_event_type() -> None:
    with pytest.raises(ValueError, match="'deposit'"):
        MailView().apply(Recorded(ID, 1, "deposit", {}, "1-0"), Changes())
    changes = Changes()
    MailView().apply(
        Recorded(CURSOR_ID, 1, "listed", {"history_id": "1", "found": 1}, "1-0"), changes
    )
    assert not changes
