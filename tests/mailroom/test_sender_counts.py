"""Mails of one sender are counted from the events, and conversations are found in them."""

from __future__ import annotations

import base64

from eventlab.events import Recorded
from eventlab.mailroom.conversations import Conversations
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.selection import hash_of
from eventlab.mailroom.sender_counts import SenderCounts

HOUR_MS = 3_600_000


def received(id: str, at: int = 1, **data: str) -> Recorded:
    return Recorded(id, 1, "received", {"date": 5, **data}, f"{at}-0")


def test_sender_counts_rank_the_mails_of_a_sender_and_hour() -> None:
    counts = SenderCounts()
    events = [received(str(n), n, sender_hour="ab"[n % 2]) for n in range(1, 5)]
    assert [counts.add(event) for event in events] == [1, 1, 2, 2]


def test_sender_counts_count_a_mail_that_returns_to_the_inbox_once() -> None:
    counts = SenderCounts()
    ranks = [counts.add(received("1", n, sender_hour="a")) for n in range(1, 4)]
    assert (ranks, counts.add(received("2", 9, sender_hour="a"))) == ([1, 1, 1], 2)
    assert counts.add(received("1", 10, sender_hour="a")) == 1


def test_sender_counts_ignore_mails_without_a_sender() -> None:
    counts = SenderCounts()
    assert [counts.add(received(str(n))) for n in range(3)] == [0, 0, 0]
    assert counts.add(received("9", sender_hour="")) == 0


def test_sender_counts_forget_an_hour_a_day_after_its_last_mail() -> None:
    counts = SenderCounts()
    for n in range(24 * 3):  # one mail each hour, of which each third is of one sender
        counts.add(received(str(n), n * HOUR_MS, sender_hour=f"{n}" if n % 3 else "a"))
    assert len(counts._hours) <= 25
    assert counts.add(received("x", 72 * HOUR_MS, sender_hour="a")) == 25
    assert counts.add(received("y", 200 * HOUR_MS, sender_hour="a")) == 1


def mail(id: str, head: str = "", thread_id: str = "") -> Message:
    raw = base64.urlsafe_b64encode(f"{head}\r\n\r\nhi".encode()).decode()
    return Message.from_gmail({"id": id, "threadId": thread_id or id, "raw": raw})


def test_conversation_is_bounded_and_keeps_the_newest() -> None:
    known = Conversations(max_mails=2)
    for n in range(4):
        known.add(received(str(n), n, thread_id=f"t{n}", message_hash=hash_of(f"<{n}@x>")))
    found = [known.earlier(mail("9", f"In-Reply-To: <{n}@x>")) for n in range(4)]
    assert found == [[], [], ["2"], ["3"]]
    # A thread is named after its first mail: it is asked for, whether it is remembered or not.
    assert known.earlier(mail("9", "", "t0")) == ["t0"]
    assert known.earlier(mail("9", "", "t3")) == ["t3", "3"]


def test_conversation_asks_for_few_mails_and_never_for_the_mail_itself() -> None:
    known = Conversations()
    for n in range(50):
        known.add(received(str(n), n, thread_id="t", message_hash=hash_of(f"<{n}@x>")))
    references = " ".join(f"<{n}@x>" for n in range(50))
    assert known.earlier(mail("t", f"References: {references}")) == [str(n) for n in range(10)]
    assert known.earlier(mail("3", "References: <3@x> <4@x>")) == ["4"]


def test_conversation_keeps_the_first_mail_of_a_repeated_message_id() -> None:
    known = Conversations()
    known.add(received("1", 1, message_hash=hash_of("<a@x>")))
    known.add(received("2", 2, message_hash=hash_of("<a@x>")))
    assert known.earlier(mail("9", "In-Reply-To: <a@x>")) == ["1"]
    assert known.earlier(mail("9", "In-Reply-To: <A@x>")) == []
