"""Ten thousand spoilt mails: each becomes a Message without an error, within a second, and a
payload that fits.

The ten thousand are made from the samples by a random generator with fixed seeds, so they are the
same in each run
and cost no shrinking; a smaller property in hypothesis looks for what they miss.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.payload import MAX_PAYLOAD_BYTES, payload_of
from tests.support.mail import BY_NAME, read

MUTATIONS = 10_000
# of the processor's time: a thousand times what it takes, so a busy machine does not matter
WITHIN_SECONDS = 1.0
#: The files; what is made by code is large, and so is read whole and in pieces, but not in hundreds
#: of copies.
SMALL = {name: sample.raw for name, sample in BY_NAME.items() if len(sample.raw) < 10_000}
LARGE = {name: sample.raw for name, sample in BY_NAME.items() if len(sample.raw) >= 10_000}
EACH = -(-MUTATIONS // len(SMALL))

EVIL = [
    b"From: ((((((((((\r\n",
    b'From: <""@x>\r\n',
    b"From: a@b, <c@d>, g: e@f;\r\n",
    b"To: undisclosed:;\r\n",
    b"Subject: =?utf-8?b?====?=\r\n",
    b"Subject: =?hex?q?=ZZ?=\r\n",
    b"Subject: \xff\xfe\x00\r\n",
    b"Date: \r\n",
    b"Content-Type: text/plain; charset=hex\r\n",
    b'Content-Type: text/html; charset="\x00"\r\n',
    b"Content-Type: text/plain; charset=utf-16\r\n",
    b"Content-Type: text/plain; charset=unicode_escape\r\n",
    b"Content-Type: multipart/mixed\r\n",
    b'Content-Type: multipart/alternative; boundary=""\r\n',
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Type: ;;;=\r\n",
    b"Content-Type: message/delivery-status\r\n",
    b"Content-Type: message/external-body\r\n",
    b"Content-Type\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"--b\r\n",
    b"Content-Transfer-Encoding: x-uuencode\r\n",
    b"Content-Transfer-Encoding: \xff\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r",
    b"Content-Disposition: attachment; filename*0*=x''%ff; filename*1=\"\r\n",
    b"Auto-Submitted: \xff\r\n",
    b": x\r\n",
    b"Content-Disposition: attachment; filename*=utf-8''%\r\n",
    b"Message-ID: <<<>>>\r\n",
    b"References: <\r\n",
    b"--b--\r\n",
    b"<table><tr><td>",
    b"<script>",
    b"<p style='margin:99999999em'>",
    b"&#xd800;",
    b"&#99999999999;",
    b"begin 644 x\r\n",
    b"+2AA-",
    b"\x1b$B",
    b"~{",
    b"\x00",
    b"\xff",
    b"=",
    b"=\r\n",
    "\u202e\u2028".encode(),
    b'<a "',
    b"<!--",
]


def flip(raw: bytearray, dice: random.Random) -> bytearray:
    for _ in range(dice.choice((1, 3, 20))):
        if raw:
            raw[dice.randrange(len(raw))] = dice.randrange(256)
    return raw


def cut(raw: bytearray, dice: random.Random) -> bytearray:
    start, end = sorted((dice.randint(0, len(raw)), dice.randint(0, len(raw))))
    return raw[:start] + raw[end:] if dice.random() < 0.7 else raw[:end]


def splice(raw: bytearray, dice: random.Random) -> bytearray:
    other = dice.choice(list(SMALL.values()))
    return raw[: dice.randint(0, len(raw))] + other[dice.randint(0, len(other)) :]


def inject(raw: bytearray, dice: random.Random) -> bytearray:
    for _ in range(dice.choice((1, 2, 5))):
        starts = [0, *(found.end() for found in re.finditer(rb"\n", raw))]
        at = dice.choice(starts) if dice.random() < 0.7 else dice.randint(0, len(raw))
        raw[at:at] = dice.choice(EVIL)
    return raw


def repeat(raw: bytearray, dice: random.Random) -> bytearray:
    start = dice.randint(0, len(raw))
    piece = raw[start : start + dice.choice((3, 40, 400))]
    raw[start:start] = piece * dice.choice((3, 30))
    return raw


def nest(raw: bytearray, dice: random.Random) -> bytearray:
    for n in range(dice.choice((1, 2, 30))):
        if dice.random() < 0.5:
            raw = bytearray(b"Content-Type: message/rfc822\r\n\r\n") + raw
        else:
            kind = dice.choice((b"mixed", b"alternative", b"related", b"report", b"digest"))
            head = b"Content-Type: multipart/%s; boundary=n%d\r\n\r\n--n%d\r\n" % (kind, n, n)
            raw = bytearray(head) + raw + (b"\r\n--n%d--\r\n" % n if dice.random() < 0.5 else b"")
    return raw


WAYS: list[Callable[[bytearray, random.Random], bytearray]] = [
    flip,
    cut,
    splice,
    inject,
    inject,
    repeat,
    nest,
]


def spoilt(raw: bytes, dice: random.Random) -> bytes:
    spoiling = bytearray(raw)
    for _ in range(dice.choice((1, 1, 2, 3))):
        spoiling = dice.choice(WAYS)(spoiling, dice)
    return bytes(spoiling)


def check(raw: bytes) -> Message:
    """Read a mail and make its payload; both succeed whatever is wrong with the mail."""
    start = time.thread_time()
    mail = read(raw)
    payload = payload_of(mail)
    assert time.thread_time() - start < WITHIN_SECONDS
    assert (
        len(payload.encode("utf-8")) <= MAX_PAYLOAD_BYTES
    )  # a lone surrogate is no UTF-8, and raises here
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", payload)
    for line in (
        mail.sender_name,
        mail.sender_address,
        mail.raw_from,
        mail.subject,
        mail.message_id,
        *mail.references,
    ):
        assert "\n" not in line
        assert line.encode("utf-8") is not None
    for attachment in mail.attachments:
        assert f"{attachment.name}{attachment.type}".encode().count(b"\n") == 0
        assert attachment.size >= 0
    assert mail.sender_address.count("@") > 0 or not mail.sender_address
    assert mail.sender_domain == mail.sender_domain.strip().lower()
    return mail


def test_there_are_ten_thousand() -> None:
    assert len(SMALL) >= 45
    assert EACH * len(SMALL) >= MUTATIONS


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_spoilt_sample_is_read(name: str) -> None:
    dice = random.Random(name)
    made = {spoilt(SMALL[name], dice) for _ in range(EACH)}
    while len(made) < EACH:
        made.add(spoilt(SMALL[name] + b"\r\n", dice))
    for raw in sorted(made):
        check(raw)


@pytest.mark.parametrize("name", sorted(LARGE))
def test_a_large_sample_is_read_whole_and_cut(name: str) -> None:
    dice = random.Random(name)
    check(LARGE[name])
    for _ in range(3):
        check(spoilt(LARGE[name], dice))


def test_the_mutations_reach_the_odd_ways_too() -> None:
    """Spoilt mails are no proof of anything if all of them were refused at the door."""
    dice = random.Random(0)
    mails = [read(spoilt(raw, dice)) for raw in SMALL.values() for _ in range(5)]
    assert sum(bool(mail.text) for mail in mails) > len(mails) * 0.7
    assert sum(bool(mail.sender_address) for mail in mails) > len(mails) * 0.4
    assert sum(mail.automatic is not None for mail in mails) > 10
    assert sum(bool(mail.attachments) for mail in mails) > 10


@settings(
    max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.data())
def test_any_patchwork_of_samples_is_read(data: st.DataObject) -> None:
    pieces = st.one_of(
        st.sampled_from(sorted(SMALL.values())), st.sampled_from(EVIL), st.binary(max_size=40)
    )
    raw = b"".join(data.draw(st.lists(pieces, max_size=8)))
    start = data.draw(st.integers(0, len(raw)))
    check(raw[start:])


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read(raw: bytes) -> None:
    check(raw)
