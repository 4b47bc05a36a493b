"""The parser of Retry-After: both forms of RFC 9110, and everything that is neither."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlab.mailroom.retry_after import retry_after_seconds

NOW = datetime(1994, 11, 6, 8, 49, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("7", 7.0), (" 7 ", 7.0), ("007", 7.0), ("30", 30.0), ("31", 30.0)],
)
def test_retry_after_reads_whole_seconds(value: str, seconds: float) -> None:
    assert retry_after_seconds(value, longest=30) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
    ids=["IMF-fixdate", "RFC 850", "asctime"],
)
def test_retry_after_reads_each_form_of_an_http_date(value: str) -> None:
    assert retry_after_seconds(value, longest=30, now=NOW) == 7.0


def test_retry_after_counts_a_date_from_the_current_time() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    seconds = retry_after_seconds(date, longest=math.inf)
    assert seconds is not None
    assert 500 < seconds <= 600


def test_retry_after_reads_a_date_in_the_past_as_zero() -> None:
    assert retry_after_seconds("Sun, 06 Nov 1994 08:49:00 GMT", longest=30, now=NOW) == 0.0


@pytest.mark.parametrize(
    "value",
    ["9" * 9, "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"],
    ids=["31 years", "5000 digits", "the year 9999"],
)
def test_retry_after_waits_no_longer_than_the_longest(value: str) -> None:
    assert retry_after_seconds(value, longest=30) == 30.0


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "soon",
        "-1",
        "+7",
        "1.5",
        "1e3",
        "7 seconds",
        "7, 8",
        "٧",
        "²",
        "inf",
        "nan",
        "Sun, 06 Nov",
        "Sun, 06 Nov 1994 99:99:99 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "06 1994",
        "1994-11-06T08:49:37Z",
    ],
)
def test_retry_after_ignores_what_is_neither(value: str | None) -> None:
    assert retry_after_seconds(value, longest=30) is None


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}[, ][ 0-9A-Za-z:,+-]{0,40}"))
def test_retry_after_never_fails_and_stays_in_its_bounds(value: str) -> None:
    seconds = retry_after_seconds(value, longest=30, now=time.time())
    assert seconds is None or 0 <= seconds <= 30
