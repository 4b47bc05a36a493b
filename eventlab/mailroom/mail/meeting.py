"""Describes the calendar part of an email in lines of text: title, time, place and people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from eventlab.mailroom.mail.charset import clean, decode, one_line
from eventlab.mailroom.mail.mime import MailPart

MAX_CALENDAR: Final = 64 * 1024
MAX_VALUE: Final = 500
MAX_GUESTS: Final = 10
FOLD: Final = re.compile(r"\n[ \t]")
EVENT: Final = re.compile(r"^BEGIN:VEVENT$(.*?)(?:^BEGIN:|^END:VEVENT$|\Z)", re.M | re.S | re.I)
#: A line: its name, its parameters, and its value. A colon in quotes does not end a parameter.
LINE: Final = re.compile(r"^([\w-]++)((?:\"[^\"\n]*+\"|[^\":\n])*+):(.*)$", re.MULTILINE)
PARAMETER: Final = re.compile(r";([\w-]+)=(?:\"([^\"]*)\"|([^;\"]*))")
TIME: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)\d*(Z?))?")
METHOD: Final = re.compile(r"^METHOD:(\w+)", re.MULTILINE | re.IGNORECASE)
#: The title for each iTIP method (RFC 5546).
TITLES: Final = {
    "request": "Invitation",
    "reply": "Response to an invitation",
    "cancel": "Canceled meeting",
    "counter": "New time proposed",
    "declinecounter": "Proposed time declined",
}

#: The parameters and the value of each line, by the name of the line.
Lines = dict[str, list[tuple[dict[str, str], str]]]


def meeting_text(part: MailPart) -> str:
    """Return the first event of a calendar in up to four lines, or "" if there is no event.

    >>> print(meeting_text(part))
    Invitation: Lamp demo
    When: 2025-11-06 10:00 to 10:30 UTC
    Where: Video call
    Who: Cora Calendar <cora@example.org> (organizer)
    """
    data = part.content_start[:MAX_CALENDAR]
    text = FOLD.sub("", clean(decode(data, part.parameter("charset"))))
    found = EVENT.search(text)
    if not found:
        return ""
    lines: Lines = {}
    for name, parameters, value in LINE.findall(found[1]):
        known = {
            key.lower(): quoted or plain for key, quoted, plain in PARAMETER.findall(parameters)
        }
        lines.setdefault(name.lower(), []).append((known, _plain(value)))
    method = METHOD.search(text)
    title = TITLES.get((method[1] if method else part.parameter("method")).lower(), "Event")
    facts = {
        title: _value(lines, "summary") or "(no title)",
        "When": _when(lines),
        "Where": _value(lines, "location"),
        "Who": ", ".join(_people(lines)),
    }
    return "\n".join(f"{name}: {value}" for name, value in facts.items() if value)


def _plain(value: str) -> str:
    text = re.sub(r"\\(.)", lambda found: " " if found[1] in "nN" else found[1], value)
    return one_line(text)[:MAX_VALUE]


def _value(lines: Lines, name: str) -> str:
    return lines[name][0][1] if name in lines else ""


def _when(lines: Lines) -> str:
    start = TIME.match(_value(lines, "dtstart"))
    if not start:
        return ""
    end = TIME.match(_value(lines, "dtend"))
    day, time = _moment(start)
    last_day, last_time = _moment(end) if end else (day, "")
    if end and not last_time:  # for whole days, the end is the day after the last day
        last_day = max(day, _day_before(last_day))
    last = f"{last_day if last_day != day else ''} {last_time}".strip()
    zone = "UTC" if start[6] else one_line(lines["dtstart"][0][0].get("tzid", ""))
    shown = " ".join(filter(None, (day, time, f"to {last}" if last else "", time and zone)))
    repeated = re.search(r"FREQ=(\w+)", _value(lines, "rrule"))
    return f"{shown}, repeated {repeated[1].lower()}" if repeated else shown


def _moment(found: re.Match[str]) -> tuple[str, str]:
    """Return a day and a time; the time is "" for a whole day."""
    return "-".join(found.group(1, 2, 3)), f"{found[4]}:{found[5]}" if found[4] else ""


def _day_before(day: str) -> str:
    try:
        return str(date.fromisoformat(day) - timedelta(days=1))
    except (ValueError, OverflowError):
        return day


def _people(lines: Lines) -> Iterator[str]:
    for known, address in lines.get("organizer", [])[:1]:
        yield f"{_person(known, address)} (organizer)"
    guests = lines.get("attendee", [])
    for known, address in guests[:MAX_GUESTS]:
        answer = known.get("partstat", "").lower()
        answered = f" ({one_line(answer)})" if answer not in ("", "needs-action") else ""
        yield f"{_person(known, address)}{answered}"
    if len(guests) > MAX_GUESTS:
        yield f"and {len(guests) - MAX_GUESTS} more"


def _person(known: dict[str, str], address: str) -> str:
    plain = re.sub(r"^mailto:", "", address, flags=re.IGNORECASE)
    name = _plain(known.get("cn", ""))
    return f"{name} <{plain}>" if name not in ("", plain) else plain
