"""Which mails become work items: blocked senders, kinds, loops, and what is recorded of a mail."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from eventlab.mailroom.errors import BadSetting
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.selection import KINDS, Selection, facts_of

OWN = frozenset({"support@shop.example"})
REACTION = "Content-Disposition: reaction\r\n"


def mail(head: str = "", *, sender: str = "joe@example.com", at: int = 7_200_000) -> Message:
    text = f"From: <{sender}>\r\n{head}\r\nhello\r\n"
    raw = base64.urlsafe_b64encode(text.encode()).decode()
    return Message.from_gmail(
        {"id": "18c2", "raw": raw, "internalDate": str(at), "labelIds": ["INBOX"]}
    )


def selection(**values: str) -> Selection:
    return Selection.parse({f"EVENTLAB_{name}": value for name, value in values.items()})


@pytest.mark.parametrize(
    ("listed", "sender", "head", "blocked"),
    [
        ("joe@example.com", "joe@example.com", "", True),
        ("JOE@Example.COM", "joe+news@example.com", "", True),
        ("@example.com", "ann@mail.example.com", "", True),
        ("a@x.example, @spam.example", "joe@spam.example", "", True),
        ("@bücher.example", "joe@xn--bcher-kva.example", "", True),
        # The person behind a web form, and the form itself.
        ("kim@example.org", "form@shop.example", "Reply-To: kim@example.org\r\n", True),
        ("form@shop.example", "form@shop.example", "Reply-To: kim@example.org\r\n", True),
        ("", "joe@example.com", "", False),
        ("@example.com", "joe@badexample.com", "", False),
        ("@example.com", "joe@example.com.evil.example", "", False),
        ("joe@example.com", "joejoe@example.com", "", False),
    ],
)
def test_blocklist_matches_senders(listed: str, sender: str, head: str, blocked: bool) -> None:
    reason = selection(BLOCKLIST=listed).reason_to_skip(mail(head, sender=sender))
    assert reason == ("its sender is on the blocklist" if blocked else None)


@pytest.mark.parametrize(
    ("kinds", "head", "sender", "reason"),
    [
        ("", REACTION, "joe@example.com", "its kind is reaction"),
        ("none", REACTION, "joe@example.com", None),
        ("list, BULK", "Precedence: bulk\r\n", "joe@example.com", "its kind is bulk"),
        ("list, BULK", REACTION, "joe@example.com", None),
        ("", "Precedence: bulk\r\n", "joe@example.com", None),
        # A loop: automatic, and from us. A person of ours, or a web form of ours, is none.
        (
            "",
            "Auto-Submitted: auto-replied\r\n",
            "Support+x@shop.example",
            "it is a loop: an automated email from our own address",
        ),
        ("", "", "support@shop.example", None),
        (
            "",
            "Auto-Submitted: auto-generated\r\nReply-To: kim@example.org\r\n",
            "support@shop.example",
            None,
        ),
        ("reaction", "Auto-Submitted: auto-replied\r\n", "support@shop.example", None),
    ],
)
def test_skipped_kinds(kinds: str, head: str, sender: str, reason: str | None) -> None:
    rules = selection(SKIPPED_KINDS=kinds)
    assert rules.reason_to_skip(mail(head, sender=sender), OWN) == reason


def test_label_is_the_first_reason_to_skip() -> None:
    draft = replace(mail(REACTION), label_ids=("INBOX", "DRAFT"))
    assert Selection().reason_to_skip(draft) == "it has the label DRAFT"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("BLOCKLIST", "joe, @ok.example, @, a@b@c", "not an address or an @domain: 'joe', '@'"),
        ("SKIPPED_KINDS", "spam, list, person", "not a kind of mail: 'spam', 'person'"),
        ("SKIPPED_KINDS", "none, list", "not a kind of mail: 'none'"),
        ("SENDER_CAP", "-1", "it must be a whole number from 0 to 999999"),
        ("SENDER_CAP", "many", "it must be a whole number"),
        ("SENDER_CAP", "1" * 5000, "it must be a whole number"),
    ],
)
def test_selection_names_every_entry_that_is_wrong(name: str, value: str, reason: str) -> None:
    with pytest.raises(BadSetting) as raised:
        selection(**{name: value})
    assert str(raised.value).startswith(f"EVENTLAB_{name}: {reason}")


def test_every_kind_can_be_skipped() -> None:
    assert selection(SKIPPED_KINDS=", ".join(KINDS)).skipped_kinds == set(KINDS)
    assert Selection().skipped_kinds == {"reaction", "loop"}


# ----------------------------------------------------------------------------------- what is kept


def sender_hour(message: Message, secret: str = "secret") -> str:
    return str(facts_of(message, own=OWN, secret=secret)["sender_hour"])


def test_sender_hour_distinguishes_senders_and_hours_and_names_nobody() -> None:
    first = mail()
    assert sender_hour(first) == sender_hour(mail(sender="JOE@example.com", at=10_799_999))
    others = [
        mail(sender="ann@example.com"),
        mail(at=10_800_000),
        mail("Reply-To: kim@example.org\r\n"),
    ]
    assert len({sender_hour(one) for one in (first, *others)}) == 4
    assert sender_hour(first, "another secret") != sender_hour(first)
    assert sender_hour(mail(sender="x")) == sender_hour(mail(sender="y"))  # no address at all
    assert "sender_hour" not in facts_of(first)
    assert "joe" not in repr(facts_of(first, secret="secret"))
