"""The addresses of a mail: writer, reply address and recipients; each is valid or not."""

from __future__ import annotations

import pytest

from eventlab.mailroom.mail.address import Address, addresses
from tests.support.mail import read

ZERO_WIDTH = "\u200b"


def found(value: str) -> list[tuple[str, str]]:
    return [(one.name, one.address) for one in addresses(value.encode())]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # comments anywhere, RFC 5322 appendix A.5
        ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "pete@silly.test"),
        ("Ann <ann@(the host of (all))example.org>", "ann@example.org"),
        ("ann(her desk)@example.org", "ann@example.org"),
        ("<ann(unclosed@example.org>", "unclosed@example.org"),
        # brackets that a program doubled, and a link that somebody pasted
        ("Ann <<ann@example.org>>", "ann@example.org"),
        ("<<<ann@example.org", "ann@example.org"),
        ("Ann <mailto:ann@example.org>", "ann@example.org"),
        ("MAILTO:ann@example.org", "ann@example.org"),
        ("<mailto:ann@example.org?subject=hello%20you>", "ann@example.org"),
        ("<mailto:mailto:>", ""),
        # characters that nobody sees
        (f"<{ZERO_WIDTH}ann@example.org{ZERO_WIDTH}>", "ann@example.org"),
        (f"an{ZERO_WIDTH}n@exam\u00adple.org", "ann@example.org"),
        ("<\u200dann@example.org\ufeff>", "ann@example.org"),
        (f"<{ZERO_WIDTH}@{ZERO_WIDTH}>", ""),
        # internationalized, with combining marks (RFC 6532)
        ("<संपर्क@डाटामेल.भारत>", "संपर्क@डाटामेल.भारत"),
        ("<คน@โดเมน.ไทย>", "คน@โดเมน.ไทย"),
        ("<jose\u0301@exa\u0308mple.example>", "jose\u0301@exa\u0308mple.example"),
    ],
)
def test_addresses_finds_the_address_in_odd_forms(value: str, expected: str) -> None:
    assert [address for _name, address in found(value)] == [expected]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ann@example.org bob@example.org", ["ann@example.org", "bob@example.org"]),
        ("Ann <ann@example.org> Bob <bob@example.org>", ["ann@example.org", "bob@example.org"]),
        ("<ann@example.org><bob@example.org>", ["ann@example.org", "bob@example.org"]),
        ("ann @ example . org bob@example.org", ["ann@example.org", "bob@example.org"]),
        ("ann@example.org @ @", []),
    ],
)
def test_addresses_finds_two_that_no_comma_separates(value: str, expected: list[str]) -> None:
    assert [address for _name, address in found(value) if address] == expected


def test_addresses_keeps_each_name_when_no_comma_separates_them() -> None:
    assert found("Ann <ann@example.org> Bob B. <bob@example.org> (his)") == [
        ("Ann", "ann@example.org"),
        ("Bob B.", "bob@example.org"),
    ]


@pytest.mark.parametrize(
    "address",
    [
        "joe@example.com",
        "joe+tag/x=y@mail.example.com",
        "o'neil!#$%&*?^_`{|}~@example.com",
        '"joe \\"j\\" doe@home"@example.com',
        "joe@localhost",
        "joe@[192.0.2.1]",
        "joe@[IPv6:2001:db8::1]",
        "jörg@exämple.example",
        "संपर्क@डाटामेल.भारत",
        "คน@โดเมน.ไทย",
        "joe@xn--exmple-cua.example",
        "a" * 64 + "@example.com",
    ],
)
def test_address_is_valid(address: str) -> None:
    assert Address("", address).valid


@pytest.mark.parametrize(
    "address",
    [
        "",
        "joe",
        "@example.com",
        "joe@",
        "<joe@example.com",
        "joe@example..com",
        "joe@-example.com",
        "joe@exam_ple.com",
        "joe@[300.1.1.1]",
        "joe@[IPv6:zz]",
        "joe@[x",
        ".joe@example.com",
        "joe..doe@example.com",
        "joe doe@example.com",
        "joe\u3000doe@example.com",
        'joe"doe@example.com',
        '"joe\ndoe"@example.com',
        '"joe@example.com',
        "joe@\u200bexample.com\u200b..",
        "joe@" + "a" * 64 + ".com",
        "joe@" + ".".join(["abcdefgh"] * 40),
        "a" * 65 + "@example.com",
        "ü" * 33 + "@example.com",
        "joe@\ud800.com",
        "\ud800@example.com",
    ],
)
def test_address_is_not_valid(address: str) -> None:
    assert not Address("", address).valid


# ----------------------------------------------------------------------------------- correspondents


def test_message_has_reply_to_to_cc_and_delivered_to() -> None:
    mail = read(
        b"From: Shop <noreply@shop.example>\r\nReply-To: Kim <kim@example.org>\r\n"
        b"To: returns@y.example, Team: a@y.example, a@Y.example;\r\nCc: Boss <boss@x.example>\r\n"
        b"Cc: undisclosed:;\r\nDelivered-To: y+returns@gmail.example\r\n\r\nhello"
    )
    assert mail.sender == Address("Shop", "noreply@shop.example")
    assert mail.reply_to == (Address("Kim", "kim@example.org"),)
    assert [one.address for one in mail.to] == ["returns@y.example", "a@Y.example"]
    assert mail.cc == (Address("Boss", "boss@x.example"),)
    assert mail.delivered_to == (Address("", "y+returns@gmail.example"),)
    assert mail.original_sender is None


def test_message_has_no_correspondents_when_headers_name_none() -> None:
    mail = read(b"To: undisclosed-recipients:;\r\nReply-To: <>\r\nCc: nobody\r\n\r\nhello")
    assert (mail.reply_to, mail.to, mail.cc, mail.delivered_to) == ((), (), (), ())


def test_message_lists_at_most_fifty_recipients() -> None:
    to = ", ".join(f"p{n}@example.org" for n in range(900)).encode()
    assert len(read(b"To: " + to + b"\r\n\r\n").to) == 50


@pytest.mark.parametrize(
    ("headers", "original"),
    [
        (
            "X-Original-From: Karl <karl@x.example>\r\nX-Original-Sender: other@x.example",
            Address("Karl", "karl@x.example"),
        ),
        ("X-Original-Sender: karl@x.example", Address("Karl", "karl@x.example")),
        ("Reply-To: karl@x.example", Address("Karl", "karl@x.example")),
        ("Reply-To: K. <karl@x.example>", Address("K.", "karl@x.example")),
        ("Reply-To: karl@x.example, support@our.example", None),
        ("Reply-To: Support <support@our.example>", None),
        ("X-Original-From: SUPPORT@our.example", None),
        ("X-Original-From: <karl@-.x>\r\nX-Original-Sender: \xff", None),
        ("X-Original-From: karl@x.example\r\n\tevil: <b", None),
    ],
)
def test_message_has_the_original_sender_of_a_list(headers: str, original: Address | None) -> None:
    head = f"From: \"'Karl' via Support\" <support@our.example>\r\n{headers}\r\n\r\nhello"
    assert read(head.encode("latin-1")).original_sender == original


def test_message_has_no_original_sender_when_only_reply_to_differs() -> None:
    mail = read(b"From: Travel via Rome <a@x.example>\r\n\r\n")
    assert mail.original_sender is None
    mail = read(b"From: Ann <a@x.example>\r\nReply-To: b@x.example\r\n\r\n")
    assert mail.original_sender is None


def test_message_has_the_ids_it_replies_to() -> None:
    mail = read(b"In-Reply-To: <b@x> (Ann's mail)\r\nReferences: <a@x>\r\n <b@x>\r\n\r\n")
    assert mail.in_reply_to == ("<b@x>",)
    assert mail.references == ("<a@x>", "<b@x>")
    assert read(b"In-Reply-To: Your mail of Monday\r\n\r\n").in_reply_to == ()
    assert len(read(b"In-Reply-To: " + b"<a@x>" * 5000 + b"\r\n\r\n").in_reply_to) == 1
