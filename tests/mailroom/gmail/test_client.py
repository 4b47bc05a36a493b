"""The Gmail client: no mail is lost or mixed up, and every error says what to do."""

from __future__ import annotations

import json
import logging
import stat
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventlab.mailroom.errors import BadSetting, ConsentRequired, GmailFailed
from eventlab.mailroom.gmail import client, google_http
from eventlab.mailroom.gmail.client import MAX_DOWNLOAD_BYTES, MAX_SMALL_BYTES, GmailClient
from eventlab.mailroom.gmail.credentials import authorize, load
from eventlab.sandbox.faults import Fault
from eventlab.sandbox.gmail.error import error_body, gmail_fault
from tests.support.gmail import Operator, Served, plain, served

ME = "/gmail/v1/users/me"
A_MESSAGE = f"GET {ME}/messages/"
NO_REASON = {"error": {"code": 403, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded."}}


@pytest.fixture
def google(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as it:
        yield it


def ids_of(gmail: GmailClient, since: str | None = None) -> list[str]:
    return [id for page in gmail.pages(since) for id in page.ids]


def last_cursor(gmail: GmailClient, since: str | None = None) -> str:
    *before, last = gmail.pages(since)
    assert [page.cursor for page in before] == [None] * len(before)
    assert last.cursor is not None
    return last.cursor


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return text


# ------------------------------------------------------------------------------------------- pages


def test_pages_put_the_cursor_on_the_last_page_only(google: Served) -> None:
    ids = google.deliver(500)
    with google.gmail(page_size=100) as gmail:
        pages = list(gmail.pages(since=None))
    assert [len(page.ids) for page in pages] == [100] * 5
    assert {id for page in pages for id in page.ids} == set(ids)
    assert [page.cursor for page in pages[:-1]] == [None] * 4
    assert pages[-1].cursor == google.fake.mailbox.profile()["historyId"]


def test_pages_hold_500_mails_by_default(google: Served) -> None:
    google.deliver(501)
    with google.gmail() as gmail:
        assert [len(page.ids) for page in gmail.pages(since=None)] == [500, 1]


def test_pages_of_an_empty_inbox_are_one_page_with_a_cursor(google: Served) -> None:
    with google.gmail() as gmail:
        [page] = gmail.pages(since=None)
        assert page.ids == ()
        assert page.cursor is not None
        assert [page.ids for page in gmail.pages(page.cursor)] == [()]


def test_pages_list_only_the_inbox(google: Served) -> None:
    [inbox] = google.deliver()
    for label in ("SENT", "DRAFT", "SPAM", "TRASH"):
        google.fake.deliver(plain(label), labels=[label])
    with google.gmail() as gmail:
        assert ids_of(gmail) == [inbox]


def test_pages_since_a_cursor_list_only_mails_that_came_after_it(google: Served) -> None:
    google.deliver(3)
    with google.gmail(page_size=2) as gmail:
        cursor = last_cursor(gmail)
        new = google.deliver(5)
        google.fake.deliver(plain("sent"), labels=["SENT"])
        assert ids_of(gmail, cursor) == new
        cursor = last_cursor(gmail, cursor)
        assert ids_of(gmail, cursor) == []


def test_pages_since_a_cursor_list_mails_moved_into_the_inbox(
    google: Served,
) -> None:
    spam = google.fake.deliver(plain("not spam after all"), labels=["SPAM"])
    [old] = google.deliver()
    with google.gmail() as gmail:
        cursor = last_cursor(gmail)
        google.fake.mailbox.modify([spam], add=["INBOX"], remove=["SPAM"])
        google.fake.mailbox.modify([old], add=["STARRED"], remove=["UNREAD"])
        assert ids_of(gmail, cursor) == [spam]


def test_pages_do_not_lose_a_mail_delivered_while_the_list_is_read(google: Served) -> None:
    google.deliver(6)
    with google.gmail(page_size=2) as gmail:
        pages = gmail.pages(since=None)
        listed = [next(pages)]
        late = google.deliver(1)
        listed += pages
        # The pages still to come do not hold it.
        assert late[0] not in {id for page in listed for id in page.ids}
        assert listed[-1].cursor is not None
        assert ids_of(gmail, listed[-1].cursor) == late


def test_pages_do_not_lose_a_mail_delivered_while_the_history_is_read(
    google: Served,
) -> None:
    with google.gmail(page_size=2) as gmail:
        cursor = last_cursor(gmail)
        ids = google.deliver(4)
        pages = gmail.pages(cursor)
        listed = [next(pages)]
        ids += google.deliver(3)
        listed += pages
        seen = [id for page in listed for id in page.ids]
        assert sorted({*seen, *ids_of(gmail, listed[-1].cursor)}) == sorted(ids)


def test_pages_list_everything_again_when_the_cursor_is_too_old(google: Served) -> None:
    ids = google.deliver(3)
    with google.gmail() as gmail:
        cursor = last_cursor(gmail)
        google.fake.mailbox.forget_history()
        ids += google.deliver(1)
        assert sorted(ids_of(gmail, cursor)) == sorted(ids)
        assert ids_of(gmail, last_cursor(gmail, cursor)) == []


def test_pages_lose_nothing_when_the_history_ends_while_it_is_read(google: Served) -> None:
    with google.gmail(page_size=2) as gmail:
        cursor = last_cursor(gmail)
        ids = google.deliver(5)
        pages = gmail.pages(cursor)
        seen = [*next(pages).ids]
        google.fake.mailbox.forget_history()
        seen += [id for page in pages for id in page.ids]
    assert set(seen) == set(ids)


# --------------------------------------------------------------------------------------------- get


def test_get_fetches_batches_of_20_in_the_given_order(google: Served) -> None:
    ids = google.deliver(45)
    with google.gmail() as gmail:
        got = list(gmail.get(ids))
    assert [id for id, _mail in got] == ids
    assert [mail.gmail_id for _id, mail in got if mail is not None] == ids
    assert google.fake.seen.count("POST /batch") == 3
    assert google.pauses == []


def test_get_and_label_send_nothing_for_no_ids(google: Served) -> None:
    with google.gmail() as gmail:
        assert list(gmail.get([])) == []
        gmail.label([], "routed")
    assert google.fake.seen == []


def test_get_returns_a_repeated_id_once(google: Served) -> None:
    [id] = google.deliver()
    with google.gmail() as gmail:
        assert [found for found, _mail in gmail.get([id, id])] == [id]


def test_get_returns_none_for_a_deleted_mail(google: Served) -> None:
    ids = google.deliver(3)
    google.fake.delete(ids[1])
    with google.gmail() as gmail:
        assert [(id, mail is None) for id, mail in gmail.get(ids)] == [
            (ids[0], False),
            (ids[1], True),
            (ids[2], False),
        ]
        assert list(gmail.get([ids[1]])) == [(ids[1], None)]


def test_get_retries_a_response_about_another_mail(google: Served) -> None:
    ids = google.deliver(3)
    other = Fault(
        on=f"{A_MESSAGE}{ids[0]}", status=200, body={"id": ids[1], "threadId": ids[1], "raw": ""}
    )
    google.fake.faults.order(other)
    with google.gmail() as gmail:
        mails = dict(gmail.get(ids))
    assert {id: mail.gmail_id for id, mail in mails.items() if mail is not None} == {
        id: id for id in ids
    }
    assert len(google.pauses) == 1


def test_get_never_downloads_a_mail_over_5_mb(google: Served) -> None:
    small = google.fake.deliver(plain("fits", "x" * 100_000))
    huge = google.fake.deliver(plain("huge", "x" * MAX_DOWNLOAD_BYTES))
    with google.gmail() as gmail:
        mails = dict(gmail.get([small, huge]))
    asked = [line for line in google.fake.seen if huge in line]
    assert [("format=full" in line, "format=raw" in line) for line in asked] == [(True, False)]
    assert mails[small] is not None
    assert mails[small].problem is None
    assert mails[huge] is not None
    assert mails[huge].problem  # its text alone is longer than any that is downloaded
    assert mails[huge].size > MAX_DOWNLOAD_BYTES


PHOTO = (
    b"--b\r\nContent-Type: image/jpeg; name=photo.jpg\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + b"AAAA" * (MAX_DOWNLOAD_BYTES // 4)
    + b"\r\n--b--\r\n"
)
HEAD = b"From: joe@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\nGr\xfc\xdfe", "Grüße"),
        (b"Content-Type: text/html\r\n\r\n<p>Hello<p>you", "Hello\n\nyou"),
        (b"\r\n" + b"word\r\n" * 50_000, ("word\n" * 50_000).strip()),  # only by an id
        (
            b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nhello",
            "---------- Forwarded message ----------\nSubject: inner\n\nhello",
        ),
    ],
)
def test_get_reads_the_text_of_a_mail_over_5_mb(google: Served, part: bytes, text: str) -> None:
    huge = google.fake.deliver(HEAD + b"--b\r\n" + part + b"\r\n" + PHOTO)
    with google.gmail() as gmail:
        [(_id, mail)] = gmail.get([huge])
    assert mail is not None
    assert (mail.text, mail.problem) == (text, None)
    assert mail.attachments[-1].name == "photo.jpg"
    assert not [line for line in google.fake.seen if "format=raw" in line]


def test_get_says_that_a_long_text_is_left_out_when_gmail_does_not_return_it(
    google: Served,
) -> None:
    parts = b"--b\r\n\r\nhello\r\n--b\r\n\r\n" + b"word\r\n" * 50_000
    huge = google.fake.deliver(HEAD + parts + PHOTO)
    google.fake.faults.order(gmail_fault("/attachments/", 404))
    with google.gmail() as gmail:
        [(_id, mail)] = gmail.get([huge])
    assert mail is not None
    assert mail.text == "hello\n\n[Some parts of this email were left out: open it in Gmail.]"


def sizes_of_batches(google: Served) -> list[int]:
    """Return how many mails each batch so far has fetched."""
    sizes: list[int] = []
    for line in google.fake.seen:
        if line == "POST /batch":
            sizes.append(0)
        elif line.startswith(A_MESSAGE):
            sizes[-1] += 1
    return sizes


def test_get_fetches_large_mails_one_by_one_and_small_ones_together(google: Served) -> None:
    large = plain("large", "x" * (MAX_SMALL_BYTES + 1))
    ids = google.deliver(3)
    ids += [google.fake.deliver(large) for _ in range(3)]
    ids += google.deliver(2)
    with google.gmail() as gmail:
        got = list(gmail.get(ids))
    assert [id for id, _mail in got] == ids
    assert all(mail is not None and mail.problem is None for _id, mail in got)
    assert sizes_of_batches(google) == [3, 1, 1, 1, 2]


def test_get_fetches_one_by_one_what_is_too_large_together(
    google: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gmail's search does not know the newest mails yet, so it cannot tell their sizes."""
    monkeypatch.setattr(google_http, "MAX_RESPONSE_BYTES", 300_000)
    monkeypatch.setattr(client, "MAX_SMALL_BYTES", 10**9)
    fits = google.fake.deliver(plain("fits", "x" * 150_000))
    other = google.fake.deliver(plain("fits too", "x" * 150_000))
    huge = google.fake.deliver(plain("huge", "x" * 600_000))
    with google.gmail() as gmail:
        mails = dict(gmail.get([fits, huge, other]))
    assert list(mails) == [fits, huge, other]
    assert [mail is not None and mail.problem is None for mail in mails.values()] == [
        True,
        False,
        True,
    ]
    assert google.pauses == []


def test_get_returns_the_others_when_a_large_mail_keeps_failing(google: Served) -> None:
    large = plain("large", "x" * (MAX_SMALL_BYTES + 1))
    bad, *good = [google.fake.deliver(large) for _ in range(3)]
    google.fake.faults.order(gmail_fault(f"/messages/{bad}", 500, times=30))
    got: list[str] = []

    def get_all(gmail: GmailClient) -> None:
        for id, _mail in gmail.get([bad, *good]):
            got.append(id)

    with google.gmail() as gmail, pytest.raises(GmailFailed, match="1 of 3 emails"):
        get_all(gmail)
    assert got == good


# ------------------------------------------------------------------------------------------ errors

TRANSIENT = {
    "429": gmail_fault("", 429, times=3),
    "403 rate": gmail_fault("", 403, reason="rateLimitExceeded", times=3),
    "403 user rate": gmail_fault("", 403, reason="userRateLimitExceeded", times=3),
    "403 without a reason": Fault(on="", status=403, body=NO_REASON, times=3),
    "500": gmail_fault("", 500, times=3),
    "503": gmail_fault("", 503, times=3),
    "502 from a host in between": Fault(on="", status=502, body="bad gateway", times=3),
    "not JSON": Fault(on="", status=200, body="nonsense", times=3),
    "connection closed before": Fault(on="", drop="before", times=3),
    "connection closed after": Fault(on="", drop="after", times=3),
}


def at(place: str, fault: Fault) -> Fault:
    return Fault(
        on=place,
        times=fault.times,
        status=fault.status,
        body=fault.body,
        headers=fault.headers,
        drop=fault.drop,
    )


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT.keys())
@pytest.mark.parametrize("place", [f"GET {ME}/profile", f"GET {ME}/messages", f"GET {ME}/history"])
def test_calls_are_retried_until_a_transient_error_ends(
    google: Served, place: str, fault: Fault
) -> None:
    ids = google.deliver(3)
    with google.gmail() as gmail:
        cursor = last_cursor(gmail)
        google.fake.faults.order(at(place, fault))
        assert sorted(ids_of(gmail)) == ids
        assert ids_of(gmail, cursor) == []
    assert len(google.pauses) >= 1


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT.keys())
@pytest.mark.parametrize("place", ["POST /batch", A_MESSAGE], ids=["whole", "parts"])
def test_get_retries_only_the_failed_parts_of_a_batch(
    google: Served, place: str, fault: Fault
) -> None:
    ids = google.deliver(30)
    google.fake.faults.order(at(place, fault))
    with google.gmail() as gmail:
        mails = list(gmail.get(ids))
    assert [(id, mail.gmail_id) for id, mail in mails if mail is not None] == [
        (id, id) for id in ids
    ]
    # Three parts failed, and only these were requested again.
    if place == A_MESSAGE:
        assert google.fake.seen.count("POST /batch") == 3


def test_late_response_is_not_taken_for_another(google: Served) -> None:
    ids = google.deliver(3)
    google.fake.faults.order(Fault(on=f"GET {ME}/profile", delay=12.0))
    with google.gmail(timeout=6.0) as gmail:
        assert sorted(ids_of(gmail)) == ids
        assert len(google.pauses) == 1
        assert all(mail is not None and mail.gmail_id == id for id, mail in gmail.get(ids))


def test_retry_after_is_waited_for(google: Served) -> None:
    ids = google.deliver(3)
    google.fake.faults.order(
        gmail_fault(f"GET {ME}/profile", 429, retry_after=17),
        gmail_fault(A_MESSAGE, 503, retry_after=23),
    )
    with google.gmail() as gmail:
        ids_of(gmail)
        list(gmail.get(ids))
    assert google.pauses == [17.0, 23.0]


def test_retry_after_may_be_a_date_and_is_limited_to_two_minutes(google: Served) -> None:
    late = gmail_fault(f"GET {ME}/profile", 429, retry_after="Fri, 31 Dec 9999 23:59:59 GMT")
    past = gmail_fault(f"GET {ME}/profile", 503, retry_after="Sun, 06 Nov 1994 08:49:37 GMT")
    google.fake.faults.order(late, past)
    with google.gmail() as gmail:
        ids_of(gmail)
    first, second = google.pauses
    assert first == 120.0
    assert 1 <= second <= 2, "a date in the past leaves the usual backoff"


def test_backoff_grows_with_jitter_and_ends_after_a_minute(google: Served) -> None:
    google.fake.faults.order(gmail_fault(f"GET {ME}/profile", 429, times=1000))
    with google.gmail() as gmail, pytest.raises(GmailFailed, match="rate limit exceeded") as error:
        ids_of(gmail)
    assert error.value.status == 429
    assert one_line(error)
    for pause, longest in zip(google.pauses, [1, 2, 4, 8, 16, 32], strict=True):
        assert longest / 2 <= pause <= longest
    assert len({pause / 2**n for n, pause in enumerate(google.pauses)}) == 6


def test_get_fails_when_every_part_of_a_batch_keeps_failing(google: Served) -> None:
    ids = google.deliver(50)
    google.fake.faults.order(gmail_fault(A_MESSAGE, 429, times=100_000))
    with google.gmail() as gmail, pytest.raises(GmailFailed, match="rate limit exceeded") as error:
        list(gmail.get(ids))
    assert error.value.status == 429
    # For the first 20; the others are not attempted when none of those came through.
    assert len(google.pauses) == 6


def test_get_returns_the_other_mails_when_one_keeps_failing(google: Served) -> None:
    ids = google.deliver(50)
    google.fake.faults.order(gmail_fault(f"{A_MESSAGE}{ids[3]}", 500, times=1000))
    got: list[str] = []
    with (
        google.gmail() as gmail,
        pytest.raises(GmailFailed, match="1 of 50 emails could not be fetched") as error,
    ):
        got.extend(id for id, _mail in gmail.get(ids))
    assert got == ids[:3] + ids[4:]
    assert error.value.status == 500


def test_unreachable_gmail_raises_gmail_failed(google: Served) -> None:
    ids = google.deliver()
    with google.gmail() as gmail:
        google.fake.faults.order(Fault(on="/", drop="before", times=1000))
        for call in (
            lambda: ids_of(gmail),
            lambda: list(gmail.get(ids)),
            lambda: gmail.label(ids, "x"),
        ):
            with pytest.raises(GmailFailed, match="could not be reached") as error:
                call()
            assert error.value.status is None
            assert one_line(error)


FINAL = {
    "not enabled": (403, "accessNotConfigured", "enable it in the Google Cloud console"),
    "not granted": (403, "insufficientPermissions", "modify=True"),
    "the day's quota": (403, "dailyLimitExceeded", "quota of Gmail requests is used up"),
    "another": (400, "failedPrecondition", r"\(400, INVALID_ARGUMENT, failedPrecondition\)"),
}


@pytest.mark.parametrize(("status", "reason", "remedy"), FINAL.values(), ids=FINAL.keys())
@pytest.mark.parametrize("place", [f"GET {ME}/profile", "POST /batch", A_MESSAGE])
def test_final_error_is_raised_at_once_with_its_remedy(
    google: Served, place: str, status: int, reason: str, remedy: str
) -> None:
    ids = google.deliver(3)
    google.fake.faults.order(gmail_fault(place, status, reason=reason, times=3))
    with google.gmail() as gmail, pytest.raises(GmailFailed, match=remedy) as error:
        _ = ids_of(gmail) if "profile" in place else list(gmail.get(ids))
    assert error.value.status == status
    assert not isinstance(error.value, ConsentRequired)
    assert one_line(error)
    assert google.pauses == []


def test_redirect_is_not_followed(google: Served) -> None:
    moved = Fault(
        on=f"GET {ME}/profile", status=302, headers=(("Location", f"{google.url}{ME}/labels"),)
    )
    google.fake.faults.order(moved)
    with google.gmail() as gmail, pytest.raises(GmailFailed, match="302"):
        ids_of(gmail)
    assert google.fake.seen == []


# ------------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize("as_a_whole", [True, False], ids=["batch", "parts"])
def test_token_that_expires_halfway_is_renewed_and_saved(google: Served, as_a_whole: bool) -> None:
    google.fake.options.checks_batch = as_a_whole
    ids = google.deliver(60)
    with google.gmail(page_size=20) as gmail:
        before = json.loads(google.token_file.read_text())["token"]
        got = []
        for n, page in enumerate(gmail.pages(since=None)):
            if n == 1:
                google.fake.expire_tokens()
            for m, (id, mail) in enumerate(gmail.get(page.ids)):
                assert mail is not None
                got.append(id)
                if n == m == 2:
                    google.fake.expire_tokens()
        google.fake.expire_tokens()
        assert len(list(gmail.get(ids[:1]))) == 1
    assert sorted(got) == ids
    after = json.loads(google.token_file.read_text())["token"]
    assert after != before
    assert google.fake.tokens.scopes(after) is not None
    assert stat.S_IMODE(google.token_file.stat().st_mode) == 0o600
    assert [file.name for file in google.folder.iterdir()] == ["token.json"]
    assert google.pauses == []


def test_token_is_renewed_once_per_batch(google: Served) -> None:
    ids = google.deliver(40)
    with google.gmail() as gmail:
        mails = gmail.get(ids)
        next(mails)
        google.fake.expire_tokens()  # the next request is a batch
        assert len(list(mails)) == 39
    assert google.fake.tokens.refreshed == 1


@pytest.mark.parametrize("as_a_whole", [True, False], ids=["batch", "parts"])
def test_token_that_is_revoked_halfway_raises_consent_required(
    google: Served, as_a_whole: bool
) -> None:
    google.fake.options.checks_batch = as_a_whole
    ids = google.deliver(40)
    with google.gmail() as gmail:
        mails = gmail.get(ids)
        assert next(mails)[0] == ids[0]
        google.fake.revoke()
        with pytest.raises(ConsentRequired, match="give consent again") as error:
            list(mails)
        assert one_line(error)
        with pytest.raises(ConsentRequired, match="give consent again") as error:
            ids_of(gmail)
        assert one_line(error)
    assert google.pauses == []


@pytest.mark.parametrize("place", [f"GET {ME}/profile", "POST /batch", A_MESSAGE])
def test_renewed_token_that_is_rejected_raises_consent_required(google: Served, place: str) -> None:
    ids = google.deliver(1)
    google.fake.faults.order(gmail_fault(place, 401, times=1000))
    with (
        google.gmail() as gmail,
        pytest.raises(ConsentRequired, match="and also a refreshed one") as error,
    ):
        _ = ids_of(gmail) if "profile" in place else list(gmail.get(ids))
    assert error.value.status == 401


def test_client_uses_no_proxy_for_this_machine(
    google: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    google.fake.options.checks_batch = False
    ids = google.deliver(2)
    with google.gmail() as gmail:
        ids_of(gmail)
        google.fake.expire_tokens()
        # The batch client would renew the token over a connection of its own.
        assert len(list(gmail.get(ids))) == 2


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://gmail.example.com",
        "gmail.example.com",
        "",
        "http://127.0.0.1.example.com",
        "https://u@x.example",
    ],
)
def test_client_rejects_an_endpoint_without_https(google: Served, endpoint: str) -> None:
    token = load(google.fake.write_token(google.token_file, google.url))
    with pytest.raises(BadSetting) as error:
        GmailClient(token, endpoint=endpoint)
    assert error.value.name == "EVENTLAB_GMAIL_ENDPOINT"


@pytest.mark.parametrize(
    "endpoint", ["https://gmail.googleapis.com", "http://localhost:1/", "http://[::1]:1"]
)
def test_client_accepts_https_and_this_machine(google: Served, endpoint: str) -> None:
    GmailClient(
        load(google.fake.write_token(google.token_file, google.url)), endpoint=endpoint
    ).close()


# ------------------------------------------------------------------------------------------ labels


def labels_of(google: Served, id: str) -> set[str]:
    names = {label["id"]: label["name"] for label in google.fake.mailbox.labels()}
    return {names[label] for label in google.fake.mailbox.get(id).label_ids} - {
        "INBOX",
        "UNREAD",
    }


def test_label_is_created_once_and_found_in_any_case(google: Served) -> None:
    ids = google.deliver(3)
    with google.gmail(modify=True) as gmail:
        gmail.label(ids[:2], "Routed")
        gmail.label(ids[1:], "routed")
    assert [labels_of(google, id) for id in ids] == [{"Routed"}] * 3


def test_label_created_by_another_client_meanwhile_is_used(google: Served) -> None:
    [id] = google.deliver()
    google.fake.mailbox.create_label("routed")
    google.fake.faults.order(Fault(on=f"GET {ME}/labels", status=200, body={"labels": []}))
    with google.gmail(modify=True) as gmail:
        gmail.label([id], "routed")
    assert labels_of(google, id) == {"routed"}


def test_label_sends_a_thousand_ids_per_request(google: Served) -> None:
    ids = google.deliver(1001)
    with google.gmail(modify=True) as gmail:
        gmail.label([*ids, "18f0ffffffffffff"], "routed")  # the last one does not exist
    assert labels_of(google, ids[0]) == labels_of(google, ids[-1]) == {"routed"}
    assert google.fake.seen.count(f"POST {ME}/messages/batchModify") == 2


def test_label_needs_consent_with_modify(google: Served) -> None:
    ids = google.deliver()
    with google.gmail() as gmail, pytest.raises(GmailFailed, match="with modify=True"):
        gmail.label(ids, "routed")


# ----------------------------------------------------------------------------------------- secrets


def test_logs_and_errors_hold_no_secret_address_or_body(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in (
        "google",
        "google.auth",
        "googleapiclient",
        "urllib3",
        "httplib2",
        "oauthlib",
        "requests_oauthlib",
    ):
        caplog.set_level(logging.DEBUG, logger=name)
    errors: list[str] = []
    with served(
        tmp_path,
        address="canary-account@example.com",
        client_secret="canary-secret",
        token_word="canary-token",
        token_seconds=3000,
    ) as google:
        through_everything(google, errors)
    assert len(errors) >= 5
    records = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert {"urllib3.connectionpool", "googleapiclient.discovery"} <= {
        record.name for record in caplog.records
    }
    found = capfd.readouterr()
    for text in (records, caplog.text, *errors, found.out, found.err):
        assert "canary" not in text


def through_everything(google: Served, errors: list[str]) -> None:
    """Make every call that a mailbox offers, and collect the errors."""

    def fails(call: Any) -> None:
        with pytest.raises(GmailFailed) as error:
            call()
        errors.append(
            "".join(traceback.format_exception(error.value)).rpartition("GmailFailed: ")[2]
            + repr(error.value)
        )

    options: dict[str, Any] = {"modify": True, "timeout_seconds": 40}
    for answer in ("deny", "allow"):
        operator = Operator(answer)
        try:
            authorize(google.client_file, google.token_file, open_url=operator.open, **options)
        except GmailFailed as error:
            errors.append("".join(traceback.format_exception(error)).rpartition("raise ")[2])
        operator.done()
    google.token_file.unlink()
    shown: list[str] = []
    credentials = authorize(
        google.client_file,
        google.token_file,
        browser="paste-back",
        say=shown.append,
        ask=lambda _: Operator().consent(shown[0].splitlines()[-1]),
        **options,
    )
    ids = [
        google.fake.deliver(plain("canary-subject", "canary-body", "canary@example.org"))
        for _ in range(3)
    ]
    with GmailClient(credentials, endpoint=google.url, sleep=google.pauses.append) as gmail:
        named = error_body(403, "forbidden", "Delegation denied for canary-account@example.com")
        order = google.fake.faults.order
        order(
            gmail_fault(A_MESSAGE, 429),
            gmail_fault("POST /batch", 503),
            Fault(on=f"GET {ME}/profile", drop="after"),
        )
        assert len(dict(gmail.get(ids_of(gmail)))) == len(ids)
        google.fake.expire_tokens()
        gmail.label(ids, "routed")
        for place in (f"GET {ME}/profile", f"GET {ME}/messages", "POST /batch"):
            order(Fault(on=place, status=403, body=named))
            fails(lambda: list(gmail.get(ids_of(gmail))))
        order(Fault(on=f"GET {ME}/profile", status=403, body="canary-account@example.com"))
        fails(lambda: ids_of(gmail))
        google.fake.revoke()
        fails(lambda: ids_of(gmail))
        order(
            Fault(
                on="POST /token",
                status=400,
                body={"error": "canary-token", "error_description": "canary-token"},
            )
        )
        fails(lambda: list(gmail.get(ids)))
