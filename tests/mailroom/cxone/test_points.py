"""The point of contact of a mail, by the address that it was sent to."""

from __future__ import annotations

import base64

import pytest

from eventlab.mailroom.cxone.points import PointsOfContact
from eventlab.mailroom.errors import BadSetting
from eventlab.mailroom.mail.message import Message

SETTING = "Returns@Shop.example=Returns, rent+bikes@shop.example = Bikes , @b2b.example=B2B, *=Desk"
OWN = frozenset({"returns@shop.example"})


def read(head: str) -> Message:
    raw = base64.urlsafe_b64encode(f"From: joe@example.com\n{head}\nhi\n".encode()).decode()
    return Message.from_gmail({"id": "18c2", "raw": raw})


@pytest.mark.parametrize(
    ("head", "point"),
    [
        ("To: returns@shop.example\n", "Returns"),
        ("To: Other <x@shop.example>, Returns <RETURNS+2026@shop.EXAMPLE>\n", "Returns"),
        ("Cc: returns@shop.example\n", "Returns"),
        ("To: rent@shop.example\n", "Desk"),
        ("To: rent+bikes@shop.example\n", "Bikes"),
        ("To: anybody@sales.b2b.example\n", "B2B"),
        ("To: anybody@notb2b.example\n", "Desk"),
        ("To: joe@example.com\n", "Desk"),
        ("", "Desk"),
        # Delivered-To, then To, then Cc.
        (
            "Delivered-To: rent+bikes@shop.example\nTo: anybody@b2b.example\n",
            "Bikes",
        ),
        ("Cc: rent+bikes@shop.example\nTo: anybody@b2b.example\n", "B2B"),
        ("To: undisclosed-recipients:;\nDelivered-To: anybody@b2b.example\n", "B2B"),
        # The mailbox's own address is on every mail, so it comes last.
        ("Delivered-To: returns@shop.example\nTo: anybody@b2b.example\n", "B2B"),
        ("Delivered-To: returns@shop.example\nTo: x@shop.example\n", "Returns"),
        # What looks like an address is none.
        ('To: "returns@shop.example" <x@shop.example>\n', "Desk"),
        ("To: <returns@shop.example.evil.example>\n", "Desk"),
    ],
)
def test_mail_goes_to_the_point_of_contact_of_its_address(head: str, point: str) -> None:
    assert PointsOfContact.parse(SETTING).of(read(head), OWN) == point


@pytest.mark.parametrize("name", ["Support", "Sales, EMEA", "A=B", "4711", " x "])
def test_plain_setting_is_one_point_of_contact_for_all_mail(name: str) -> None:
    points = PointsOfContact.parse(name)
    assert (points.default, dict(points.by_address)) == (name.strip(), {})
    assert points.of(read("To: returns@shop.example\n")) == name.strip()


@pytest.mark.parametrize(
    ("setting", "problems"),
    [
        ("returns@shop.example=Returns", ["there is no *=NAME for all other mail"]),
        (
            "returns=R, a@b.example=, @=x, a@b.example, c@d.example=X, C@D.example=Y,"
            " e@f.example=1=2",
            [
                "'returns=R' does not begin with an address, an @domain or *",
                "'a@b.example=' names no point of contact",
                "'@=x' does not begin with",
                "'a@b.example' is not of the form address=name",
                "'C@D.example=Y' repeats an address",
                "'e@f.example=1=2' has two equals signs",
                "there is no *=NAME",
            ],
        ),
        ("*=A, *=B", ["'*=B' repeats an address"]),
    ],
)
def test_setting_names_every_entry_that_is_wrong(setting: str, problems: list[str]) -> None:
    with pytest.raises(BadSetting) as raised:
        PointsOfContact.parse(setting)
    assert str(raised.value).startswith("EVENTLAB_CXONE_POC: ")
    assert [one for one in problems if one not in str(raised.value)] == []
