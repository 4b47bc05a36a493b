"""Meetings: what, when, where and who in plain lines, whatever the calendar part has."""

from __future__ import annotations

import pytest

from eventlab.mailroom.mail.meeting import MAX_CALENDAR, meeting_text
from eventlab.mailroom.mail.mime import parse
from tests.support.mail import multipart, read, single

START = b"DTSTART:20251106T100000Z"


def calendar(*lines: bytes, method: bytes = b"REQUEST") -> bytes:
    event = b"\r\n".join((b"BEGIN:VEVENT", *lines, b"END:VEVENT"))
    return b"BEGIN:VCALENDAR\r\nMETHOD:" + method + b"\r\n" + event + b"\r\nEND:VCALENDAR\r\n"


def meeting(*lines: bytes, method: bytes = b"REQUEST") -> str:
    head = b"Content-Type: text/calendar; charset=utf-8\r\n\r\n"
    return meeting_text(parse(head + calendar(*lines, method=method)))


@pytest.mark.parametrize(
    ("method", "title"),
    [
        (b"REQUEST", "Invitation"),
        (b"reply", "Response to an invitation"),
        (b"CANCEL", "Canceled meeting"),
        (b"PUBLISH", "Event"),
    ],
)
def test_meeting_says_what_when_where_and_who(method: bytes, title: str) -> None:
    shown = meeting(
        b"SUMMARY:Lamp\\, white",
        START,
        b"DTEND:20251106T103000Z",
        b"LOCATION:Room 1\\nBerlin",
        b'ORGANIZER;CN="Cora: shop":mailto:cora@example.org',
        b"ATTENDEE;CN=Ann;PARTSTAT=ACCEPTED:MAILTO:ann@example.org",
        b"ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:bob@example.org",
        method=method,
    )
    assert shown.split("\n") == [
        f"{title}: Lamp, white",
        "When: 2025-11-06 10:00 to 10:30 UTC",
        "Where: Room 1 Berlin",
        "Who: Cora: shop <cora@example.org> (organizer), Ann <ann@example.org> (accepted), "
        "bob@example.org",
    ]


@pytest.mark.parametrize(
    ("lines", "when"),
    [
        ([b"DTSTART;TZID=Europe/Berlin:20251106T100000"], "2025-11-06 10:00 Europe/Berlin"),
        ([START, b"DTEND:20251107T090000Z"], "2025-11-06 10:00 to 2025-11-07 09:00 UTC"),
        # The end of whole days is the day after the last.
        ([b"DTSTART;VALUE=DATE:20251106", b"DTEND;VALUE=DATE:20251107"], "2025-11-06"),
        ([b"DTSTART:20251106", b"DTEND:20251109"], "2025-11-06 to 2025-11-08"),
        ([b"DTSTART:20251106", b"DTEND:20251106"], "2025-11-06"),
        ([b"DTSTART:20251106", b"DTEND:00010101"], "2025-11-06"),
        ([START, b"RRULE:FREQ=WEEKLY;COUNT=3"], "2025-11-06 10:00 UTC, repeated weekly"),
    ],
)
def test_meeting_says_when(lines: list[bytes], when: str) -> None:
    assert f"\nWhen: {when}\n" in meeting(*lines, b"LOCATION:here")


def test_meeting_joins_folded_lines_and_leaves_out_alarms() -> None:
    shown = meeting(
        b"summary:Lamp\r\n  demo", START, b"BEGIN:VALARM", b"LOCATION:alarm", b"END:VALARM"
    )
    assert shown == "Invitation: Lamp demo\nWhen: 2025-11-06 10:00 UTC"


def test_meeting_bounds_what_a_hostile_calendar_shows() -> None:
    guest = b"ATTENDEE:mailto:a@example.org"
    shown = meeting(b"SUMMARY:" + b"x" * 2000, START, *[guest] * 500)
    assert shown.endswith("a@example.org, and 490 more")
    assert len(shown) < 1000
    long = b"BEGIN:VEVENT\r\nDTSTART:never\r\nEND:VEVENT\r\n" * 100_000
    assert meeting_text(parse(b"Content-Type: text/calendar\r\n\r\n" + long)).startswith("Event: ")
    for line in (b"X" + b';"' * MAX_CALENDAR, b"X" * MAX_CALENDAR, b"X;" * MAX_CALENDAR):
        text = b"Content-Type: text/calendar\r\n\r\nBEGIN:VEVENT\r\n" + line
        assert meeting_text(parse(text)) == "Event: (no title)"


def test_message_shows_a_meeting_once_and_never_the_raw_calendar() -> None:
    part = b"Content-Type: text/calendar; method=REQUEST\r\n\r\n" + calendar(b"SUMMARY:Demo", START)
    meeting = "Invitation: Demo\nWhen: 2025-11-06 10:00 UTC"
    words = b"Content-Type: text/plain\r\n\r\nCome!"
    assert read(multipart("alternative", words, part)).text == f"{meeting}\n\nCome!"
    assert read(multipart("mixed", words, part, part)).text == f"{meeting}\n\nCome!"
    assert read(single(calendar(b"SUMMARY:Demo", START), "Content-Type: text/calendar")).text == (
        meeting
    )


def test_message_reads_the_calendars_of_its_first_attachments_only() -> None:
    part = b"Content-Type: text/calendar\r\n\r\n"
    parts = [part + calendar(b"SUMMARY:%d" % number, START) for number in range(30)]
    assert read(multipart("mixed", *parts)).text.count("Invitation: ") == 10


def test_message_shows_a_calendar_without_an_event_as_it_is() -> None:
    tasks = b"BEGIN:VCALENDAR\r\nBEGIN:VTODO\r\nSUMMARY:Call Ann\r\nEND:VTODO\r\nEND:VCALENDAR"
    assert "SUMMARY:Call Ann" in read(single(tasks, "Content-Type: text/calendar")).text
