"""The router and real mail: where it goes, what is skipped or held, and old inboxes."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventlab.mailroom.errors import SinceRequired
from eventlab.mailroom.inbox import GONE
from eventlab.mailroom.inbox_cursor import CURSOR_ID
from eventlab.mailroom.selection import Selection
from eventlab.mailroom.summary import Summary
from eventlab.mailroom.worklist import Worklist
from eventlab.sandbox.cxone.routing import PointOfContact
from eventlab.sandbox.faults import Fault
from eventlab.sandbox.gmail.mailbox import FIRST_DATE_MS
from tests.support.mailroom import ITEMS, Room

HISTORY = "GET /gmail/v1/users/me/history"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START = FIRST_DATE_MS  # a full hour
REACTION = b"Content-Disposition: reaction\r\n"


def letter(head: str = "", *, sender: str = "joe@example.com", body: str = "hello") -> bytes:
    return f"From: {sender}\r\n{head}\r\n{body}\r\n".encode()


def deliver(here: Room, count: int = 1, **more: Any) -> list[str]:
    """Deliver mails of one hour and one sender."""
    sender = more.pop("sender", "joe@example.com")
    return [
        here.both.gmail.deliver(letter(sender=sender), internal_date_ms=START + n, **more)
        for n in range(count)
    ]


def statuses(here: Room, ids: list[str]) -> list[str]:
    return [here.status(id) for id in ids]


# ------------------------------------------------------------------------------- from whom, to whom


def test_work_item_is_from_the_person_behind_a_web_form_and_goes_to_the_address_used(
    here: Room,
) -> None:
    here.both.cxone.routing.points["Returns"] = PointOfContact("Returns")
    form = "Reply-To: Kim <kim@example.org>\r\nTo: Returns+7@shop.example\r\n"
    here.both.gmail.deliver(letter(form, sender="noreply@shop.example"))
    here.both.gmail.deliver(letter("To: agent@example.com\r\n", sender="joe@-.example"))
    # The mailbox's own address is known from Gmail: it is not who wrote.
    here.both.gmail.deliver(letter("Reply-To: AGENT@example.com\r\n"))
    hub = here.router(points="returns@shop.example=Returns, *=mail")
    assert hub.run_once().submitted == 3
    sent = [(item.sender, item.point_of_contact) for item in here.both.cxone.work_items]
    assert sent == [("kim@example.org", "Returns"), ("", "mail"), ("joe@example.com", "mail")]


# ------------------------------------------------------------------------------------ skipped mail


def test_reactions_loops_and_blocked_senders_do_not_reach_agents(here: Room) -> None:
    gmail = here.both.gmail
    skipped = {
        gmail.deliver(REACTION + letter()): "its kind is reaction",
        gmail.deliver(
            b"Auto-Submitted: auto-replied\r\n" + letter(sender="Agent@example.com")
        ): "it is a loop: an automated email from our own address",
        gmail.deliver(letter(sender="spam@x.spam.example")): "its sender is on the blocklist",
    }
    routed = gmail.deliver(b"Auto-Submitted: auto-replied\r\n" + letter())
    rules = Selection(blocklist=frozenset({"@spam.example"}))
    assert here.router(selection=rules).run_once() == Summary(
        listed=4, new=4, submitted=1, skipped=3
    )
    assert {id: here.item(id).reason for id in skipped} == skipped
    assert here.accepted() == {routed: 1}
    # Listed again, they are skipped again, and nothing is recorded twice.
    gmail.mailbox.forget_history()
    assert here.router(selection=rules).run_once() == Summary(listed=4)
    assert {id: here.types(id) for id in skipped} == {id: ["skipped"] for id in skipped}


def test_mail_received_before_its_sender_was_blocked_is_skipped(here: Room) -> None:
    ids = deliver(here)
    here.order(Fault(on=ITEMS, status=429, times=9))
    assert here.router().run_once().waiting == 1
    here.both.cxone.faults.clear()
    rules = Selection(blocklist=frozenset({"joe@example.com"}))
    assert here.router(selection=rules).run_once() == Summary(skipped=1)
    assert statuses(here, ids) == ["skipped"]


@pytest.mark.parametrize("moved", ["blocked", "archived", "reaction", "deleted"])
def test_resend_sends_a_mail_that_is_not_for_an_agent_unless_it_is_gone(
    here: Room, moved: str
) -> None:
    gmail = here.both.gmail
    id = gmail.deliver((REACTION if moved == "reaction" else b"") + letter())
    here.order(Fault(on=ITEMS, drop="before"))
    here.router(selection=Selection(skipped_kinds=frozenset())).run_once()
    assert here.status(id) == "in_doubt"
    if moved == "archived":
        gmail.mailbox.modify([id], remove=["INBOX"])
    elif moved == "deleted":
        gmail.delete(id)
    rules = Selection(blocklist=frozenset({"joe@example.com"} if moved == "blocked" else ()))
    summary = here.router(selection=rules).resend(id)
    if moved == "deleted":
        assert (summary.skipped, here.item(id).reason) == (1, GONE)
    else:
        assert summary == Summary(submitted=1)
        assert here.accepted() == {id: 1}


# ------------------------------------------------------------------------------------ the cap


def test_mails_of_one_sender_beyond_the_cap_are_held_until_an_operator_decides(here: Room) -> None:
    ids = deliver(here, 5)
    others = deliver(here, 2, sender="ann@example.com")
    later = here.both.gmail.deliver(letter(), internal_date_ms=START + HOUR_MS)
    rules = Selection(sender_cap=2)
    hub = here.router(selection=rules)
    assert hub.run_once() == Summary(listed=8, new=8, submitted=5, held=3, open=3)
    held = [id for id in ids if here.status(id) == "held"]
    assert len(held) == 3
    assert here.item(held[0]).reason == "its sender sent more than 2 emails in an hour"
    assert here.accepted().keys() == {*ids, *others, later} - {*held}
    # An operator's decision stands, also if the router is stopped before the mail is sent.
    here.order(Fault(on=ITEMS, status=429, times=9))
    assert hub.resend(held[0]).submitted == 0
    here.both.cxone.faults.clear()
    assert here.router(selection=rules).run_once() == Summary(submitted=1, open=2)


def test_cap_counts_the_same_after_restarts_repeats_and_a_trim(here: Room) -> None:
    ids: list[str] = []
    rules = Selection(sender_cap=3)
    for n in range(6):  # each mail by a router of its own, and listed again and again
        ids += deliver(here)
        here.both.gmail.mailbox.forget_history()
        if n == 2:
            assert here.store.trim(before=here.store.head()) > 0
        here.router(f"hub-{n}", selection=rules).run_once()
    assert statuses(here, ids) == ["submitted"] * 3 + ["held"] * 3


def test_cap_depends_on_commit_order_and_not_on_the_router(here: Room) -> None:
    deliver(here, 4)
    here.order(Fault(on=ITEMS, status=429, times=99))
    first = here.router("north", selection=Selection(sender_cap=0))
    assert first.run_once().waiting == 4
    here.both.cxone.faults.clear()
    ranks = [sorted(map(worklist.rank, here.store.ids())) for worklist in (read(here), read(here))]
    assert ranks == [[0, 1, 2, 3, 4]] * 2  # the cursor has none
    second = here.router("south", selection=Selection(sender_cap=3))
    assert second.run_once() == Summary(submitted=3, held=1, open=1)


def read(here: Room) -> Worklist:
    worklist = Worklist(here.store)
    worklist.refresh()
    return worklist


def test_no_cap_holds_nothing(here: Room) -> None:
    deliver(here, 120)
    assert here.router(selection=Selection(sender_cap=0)).run_once().submitted == 120


# ------------------------------------------------------------------------------------ old inboxes


def old_and_new(here: Room) -> tuple[list[str], list[str]]:
    old = deliver(here, 3)
    new = [here.both.gmail.deliver(letter(), internal_date_ms=START + 2 * DAY_MS)]
    return old, new


SINCE = datetime.fromtimestamp((START + DAY_MS) / 1000, UTC)


def test_first_round_on_an_old_inbox_stops_and_asks_for_a_first_day(here: Room) -> None:
    ids = deliver(here, 3)
    with pytest.raises(SinceRequired, match="more than 2 emails that are older than a day"):
        here.router(max_old=2).run_once()
    assert set(here.store.ids()) == set()
    assert here.router(max_old=3).run_once().submitted == 3
    deliver(here, 3)
    assert here.router(max_old=2).run_once().submitted == 3  # no first round any more
    assert here.accepted().keys() >= set(ids)


def test_mails_before_since_are_not_routed_even_if_the_inbox_is_listed_again(here: Room) -> None:
    old, new = old_and_new(here)
    assert here.router(max_old=2, since=SINCE).run_once() == Summary(listed=1, new=1, submitted=1)
    assert here.store.read(CURSOR_ID)[-1].data["since"] == SINCE.timestamp()
    here.both.gmail.mailbox.forget_history()
    assert here.router().run_once() == Summary(listed=1)  # it is remembered
    assert here.accepted().keys() == set(new)
    # An earlier day lists the mails in between.
    earlier = SINCE - timedelta(days=1)
    assert here.router(since=earlier).run_once() == Summary(listed=4, new=3, submitted=3)
    assert here.router(since=earlier).run_once() == Summary()
    assert here.accepted() == dict.fromkeys([*old, *new], 1)


def test_new_mail_that_a_search_does_not_find_yet_is_listed(
    here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gmail's search learns of a mail later than its list does."""
    _old, [new] = old_and_new(here)
    mailbox = here.both.gmail.mailbox
    find = mailbox.find

    def slow(*arguments: Any, **search: Any) -> Any:
        return [mail for mail in find(*arguments, **search) if not search or mail.id != new]

    monkeypatch.setattr(mailbox, "find", slow)
    assert here.router(since=SINCE).run_once().submitted == 1
    assert here.accepted() == {new: 1}


def test_history_that_gmail_always_rejects_is_logged_and_nothing_is_sent_twice(
    here: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "eventlab")
    ids = deliver(here, 3)
    here.both.gmail.faults.order(
        Fault(on=HISTORY, status=404, times=1000, body={"error": {"code": 404}})
    )
    hub = here.router()
    assert hub.run_once() == Summary(listed=3, new=3, submitted=3)
    for _ in range(3):
        ids += deliver(here)
        assert hub.run_once() == Summary(listed=len(ids), new=1, submitted=1)
    assert here.accepted() == dict.fromkeys(ids, 1)
    said = [one for one in caplog.records if one.name.endswith("inbox") and "twice" in one.message]
    assert [record.levelno for record in said] == [
        logging.WARNING, logging.WARNING, logging.DEBUG
    ]  # fmt: skip
    assert "Gmail has rejected the history request for 2 rounds in a row" in caplog.text


# ------------------------------------------------------------------------------------ threads


def replies(here: Room) -> list[str]:
    """Return the line about the conversation of each payload, in the order of sending."""
    lines = [item.payload.splitlines() for item in here.both.cxone.work_items]
    return [next((line for line in one if line.startswith("In reply to: ")), "") for one in lines]


def in_thread(here: Room, head: str, thread_id: str | None = None, at: int = 0) -> str:
    return here.both.gmail.deliver(letter(head), thread_id=thread_id, internal_date_ms=START + at)


def test_reply_names_the_contact_of_the_first_mail_even_in_the_same_batch(here: Room) -> None:
    first = in_thread(here, "Message-ID: <1@example.com>\r\n")
    in_thread(here, "Message-ID: <2@example.com>\r\n", first, 1)
    in_thread(here, "In-Reply-To: <1@example.com>\r\n", first, 2)
    assert here.router().run_once().submitted == 3
    contact = here.both.cxone.work_items[0].contact_id
    named = f"In reply to: contact {contact} (work item gmail:{first})"
    assert replies(here) == ["", named, named]
    # Also by another router, after the events were trimmed, and with no contact id.
    here.store.trim(before=here.store.head())
    in_thread(here, "", first, 3)
    assert here.router("another").run_once().submitted == 1
    assert replies(here)[3] == named


def test_reply_outside_the_thread_is_found_by_its_references(here: Room) -> None:
    gmail = here.both.gmail
    ours = gmail.deliver(letter("Message-ID: <0@shop.example>\r\n"), labels=["SENT"])
    first = in_thread(here, "Message-ID: <1@example.com>\r\n", ours)
    hub = here.router()
    hub.run_once()
    in_thread(here, "References: <0@shop.example>\r\n <1@example.com> <9@x.example>\r\n", at=1)
    in_thread(here, "In-Reply-To: <1@example.com>\r\n", at=2)
    in_thread(here, "", ours, at=3)  # only in the thread, which begins with our own mail
    in_thread(here, "In-Reply-To: <unknown@example.com>\r\n", at=4)
    assert hub.run_once().submitted == 4
    contact = here.both.cxone.work_items[0].contact_id
    named = f"In reply to: contact {contact} (work item gmail:{first})"
    assert replies(here) == ["", named, named, named, ""]


def test_reply_to_a_mail_without_a_contact_id_names_its_work_item(here: Room) -> None:
    here.both.cxone.empty_answers = True
    first = in_thread(here, "")
    in_thread(here, "", first, 1)
    assert here.router().run_once().submitted == 2
    assert replies(here) == ["", f"In reply to: work item gmail:{first}"]


def test_reply_to_a_mail_that_cxone_does_not_have_names_nothing(here: Room) -> None:
    first = in_thread(here, "Message-ID: <1@example.com>\r\n")
    here.order(Fault(on=ITEMS, drop="before"))
    in_thread(here, "References: <1@example.com>\r\n", first, 1)
    assert here.router().run_once().submitted == 1
    assert (here.status(first), replies(here)) == ("in_doubt", [""])


def test_conversation_cannot_write_lines_into_the_payload(here: Room) -> None:
    first = in_thread(here, "Message-ID: <1\u2028In reply to: contact 666@example.com>\r\n")
    in_thread(here, "References: <x>\r\nIn-Reply-To: contact 666\r\n", first, 1)
    assert here.router().run_once().submitted == 2
    assert [line for line in replies(here) if "666" in line] == []
