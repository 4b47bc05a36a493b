"""Whatever a mail contains, the mailroom's rules decide about it and record none of its content."""

from __future__ import annotations

import json
import random
import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventlab.mailroom.address_match import folded, forms, is_in
from eventlab.mailroom.conversations import Conversations
from eventlab.mailroom.correspondent import correspondent
from eventlab.mailroom.cxone.points import PointsOfContact
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.selection import KINDS, Selection, facts_of
from tests.mailroom.mail.test_message_mutations import SMALL, corrupted
from tests.support.examples import examples
from tests.support.mail import BY_NAME, read

OWN = frozenset({"agent@example.com"})
POINTS = PointsOfContact.parse("returns@shop.example=R, @example.org=O, *=S")
REASONS = re.compile(
    rf"its kind is (?:{'|'.join(KINDS)})|it is a loop: an automated email from our own address"
    r"|its sender is on the blocklist|it has the label [A-Z]+|it is no longer in the inbox"
)
STRICT = Selection(skipped_kinds=frozenset(KINDS), blocklist=frozenset({"@example.org"}))
HEADERS = ("From", "Reply-To", "X-Original-From", "Delivered-To", "To", "References", "List-Post")


def check(mail: Message) -> None:
    found = correspondent(mail, OWN)
    assert found.valid or found.address == ""
    assert not {unicodedata.category(one) for one in found.address} & {"Cc", "Zl", "Zp"}
    assert POINTS.of(mail, OWN) in ("R", "O", "S")
    assert len(Conversations().earlier(mail)) <= 10
    for rules in (Selection(), STRICT):
        reason = rules.reason_to_skip(mail, OWN)
        assert reason is None or REASONS.fullmatch(reason)
    facts = json.dumps(facts_of(mail, own=OWN, secret="secret"))
    assert "@" not in facts
    assert len(facts) < 1000


@pytest.mark.parametrize("name", sorted(SMALL))
def test_rules_decide_about_corrupted_samples(name: str) -> None:
    rng = random.Random(name)
    check(read(BY_NAME[name].raw, labelIds=["INBOX"]))
    for _ in range(20):
        check(read(corrupted(BY_NAME[name].raw, rng), labelIds=["INBOX"]))


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(HEADERS), st.text(max_size=80)), max_size=6))
def test_rules_decide_about_any_headers(headers: list[tuple[str, str]]) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    check(read(f"{head}\r\nhello".encode("utf-8", "surrogatepass"), labelIds=["INBOX"]))


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(st.text(max_size=60))
@example("")
@example("@")
@example("a@.")
@example("+@b")
@example(f"a@{'b' * 64}.example")
@example("\ud800@\ud800")
def test_addresses_of_any_text_are_compared(text: str) -> None:
    found = list(forms(text))
    assert found[0] == folded(text) == folded(folded(text))
    assert is_in(text, {folded(text)})
    assert not is_in(text, ())
