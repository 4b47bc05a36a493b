"""The test mails of Python's own email package, where the interpreter ships them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from eventlab.mailroom.payload import payload_of
from tests.support.mail import read


def shipped() -> list[Path]:
    try:
        found = find_spec("test.test_email.data")
    except ImportError:  # a Python without its tests, as most distributions ship it
        return []
    folders = list(found.submodule_search_locations or ()) if found else []
    return sorted(path for folder in folders for path in Path(folder).glob("*.txt"))


MAILS = {path.stem: path.read_bytes() for path in shipped()}
needs_mails = pytest.mark.skipif(
    not MAILS, reason="this Python ships no test.test_email.data: use one built with its tests"
)
#: What some of them must say: the mails for which the standard library's parser has special cases.
EXPECTED = {
    "msg_01": "Do you like this message?",
    "msg_05": "---------- Returned message ----------\nFrom: nobody@python.org\n\nYadda",
    "msg_11": "---------- Forwarded message ----------\nSubject: An enclosed message\n\nHere is",
    "msg_16": "Delivery failed: jangel1@cougar.noc.ucla.edu (status 5.0.0",
    "msg_26": "Simple email with attachment.",
    "msg_28": "\n\nmessage 1\n\n---------- Forwarded message ----------\n",
    "msg_35": "counter to RFC 2822, there's no separating newline here",
}


@needs_mails
@pytest.mark.parametrize("name", sorted(MAILS) or ["none"])
def test_message_reads_pythons_own_test_mails(name: str) -> None:
    raw = MAILS[name]
    mail = read(raw)
    payload = payload_of(mail)
    assert mail.problem is None
    assert EXPECTED.get(name, "") in mail.text
    assert ("\ufffd" in payload) <= (b"\xef\xbf\xbd" in raw)
    assert mail.sender.valid or "@" not in mail.raw_from


@needs_mails
def test_message_finds_the_text_of_almost_all_of_pythons_test_mails() -> None:
    with_text = sum(bool(read(raw).text) for raw in MAILS.values())
    assert with_text >= len(MAILS) - 8  # the others are empty, or have a subject and no text
