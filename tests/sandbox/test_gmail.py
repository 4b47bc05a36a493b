"""The fake Gmail over plain HTTP: it answers like Google, and rejects what Google rejects."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from eventlab.sandbox.gmail.app import create_fake_gmail
from eventlab.sandbox.gmail.batch import read_parts
from eventlab.sandbox.gmail.error import GoogleError, gmail_fault
from eventlab.sandbox.gmail.oauth import MODIFY, READONLY
from eventlab.sandbox.gmail.resource import cut, resource
from eventlab.sandbox.samples import samples
from tests.support.gmail import Served, form_of, plain, served

ME = "/gmail/v1/users/me"
BACK = "http://127.0.0.1:8400/"
VERIFIER = "v" * 50


@pytest.fixture
def google(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as it:
        yield it


@pytest.fixture
def token(google: Served) -> str:
    return token_for(google, READONLY)


def token_for(google: Served, *scopes: str) -> str:
    return str(google.fake.tokens.grant(scopes)["access_token"])


def reason(answer: requests.Response) -> tuple[int, str]:
    """Return an error's status and reason after checking that it has Google's format."""
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    assert error["message"]
    assert error["status"].isupper()
    return answer.status_code, error["errors"][0]["reason"]


# ------------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize(
    "path", ["profile", "labels", "messages", "messages/x", "history?startHistoryId=1000"]
)
def test_routes_need_a_valid_token(google: Served, token: str, path: str) -> None:
    assert reason(google.get(f"{ME}/{path}")) == (401, "authError")
    assert reason(google.get(f"{ME}/{path}", "ya29.unknown")) == (401, "authError")
    google.fake.expire_tokens()
    assert reason(google.get(f"{ME}/{path}", token)) == (401, "authError")


@pytest.mark.parametrize("path", ["labels", "messages/batchModify", "messages/x/modify"])
def test_changes_need_the_modify_scope(google: Served, token: str, path: str) -> None:
    assert reason(google.send("POST", f"{ME}/{path}", token, json={})) == (
        403,
        "insufficientPermissions",
    )
    assert reason(google.send("POST", f"{ME}/{path}", json={})) == (401, "authError")


def test_token_with_another_scope_is_rejected(google: Served) -> None:
    other = token_for(google, "https://www.googleapis.com/auth/userinfo.email")
    assert reason(google.get(f"{ME}/profile", other)) == (403, "insufficientPermissions")


def test_token_expires(tmp_path: Path) -> None:
    with served(tmp_path, token_seconds=0) as google:
        assert reason(google.get(f"{ME}/profile", token_for(google, READONLY))) == (
            401,
            "authError",
        )


@pytest.mark.parametrize("status", [403, 429, 503])
def test_faults_have_googles_format(google: Served, token: str, status: int) -> None:
    google.fake.faults.order(gmail_fault(f"GET {ME}/profile", status, retry_after=3))
    answer = google.get(f"{ME}/profile", token)
    assert reason(answer)[0] == status
    assert answer.headers["Retry-After"] == "3"
    assert google.get(f"{ME}/profile", token).json()["emailAddress"] == "agent@example.com"


# ------------------------------------------------------------------------------------------- lists


def test_list_of_an_empty_mailbox_has_no_messages_field(google: Served, token: str) -> None:
    assert google.get(f"{ME}/messages", token).json() == {"resultSizeEstimate": 0}


def test_list_is_newest_first_in_pages_of_100_to_500(google: Served, token: str) -> None:
    ids = google.deliver(501)[::-1]
    first = google.get(f"{ME}/messages", token).json()
    assert [message["id"] for message in first["messages"]] == ids[:100]
    assert set(first["messages"][0]) == {"id", "threadId"}
    second = google.get(
        f"{ME}/messages", token, pageToken=first["nextPageToken"], maxResults=1000
    ).json()
    assert [message["id"] for message in second["messages"]] == ids[100:]
    assert len(second["messages"]) == 401
    most = google.get(f"{ME}/messages", token, maxResults=1000).json()
    assert len(most["messages"]) == 500
    assert "nextPageToken" in most


def test_list_needs_all_labels_and_hides_spam_and_trash(google: Served, token: str) -> None:
    both = google.fake.deliver(plain("a"), labels=["INBOX", "STARRED"])
    google.fake.deliver(plain("b"), labels=["INBOX"])
    spam = google.fake.deliver(plain("c"), labels=["SPAM", "INBOX"])

    def listed(**params: Any) -> list[str]:
        return [
            message["id"]
            for message in google.get(f"{ME}/messages", token, **params).json().get("messages", [])
        ]

    assert listed(labelIds=["INBOX", "STARRED"]) == [both]
    assert listed(labelIds="SPAM") == [spam]
    assert spam not in listed() + listed(labelIds="INBOX")
    assert reason(google.get(f"{ME}/messages", token, labelIds="NONE")) == (400, "invalidArgument")


def test_search_supports_only_larger(google: Served, token: str) -> None:
    google.deliver()
    large = google.fake.deliver(plain("large", "x" * 1000))
    found = google.get(f"{ME}/messages", token, q="larger:1000").json()
    assert [message["id"] for message in found["messages"]] == [large]
    assert reason(google.get(f"{ME}/messages", token, q="from:joe"))[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "messages?maxResults=x",
        "messages?pageToken=x",
        "history?startHistoryId=x",
        "history",
        "messages/x?format=eml",
    ],
)
def test_invalid_parameters_are_rejected(google: Served, token: str, path: str) -> None:
    id = google.deliver()[0]
    assert reason(google.get(f"{ME}/{path.replace('/x', f'/{id}')}", token)) == (
        400,
        "invalidArgument",
    )


# ------------------------------------------------------------------------------------------- mails

MAIL = b"\r\n".join(
    [
        b"From: joe@example.com",
        b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=",
        b"Content-Type: multipart/mixed; boundary=b",
        b"",
        b"--b",
        b"Content-Type: text/plain; charset=iso-8859-1",
        b"Content-Transfer-Encoding: 8bit",
        b"",
        b"gr\xfc\xdfe & <more>",
        b"--b",
        b"Content-Type: image/png; name=a.png",
        b"Content-Disposition: attachment; filename=a.png",
        b"Content-Transfer-Encoding: base64",
        b"",
        b"iVBORw0KGgo=",
        b"--b--",
        b"",
    ]
)


def test_get_supports_four_formats(google: Served, token: str) -> None:
    id = google.fake.deliver(MAIL, thread_id="18e0000000000001", internal_date_ms=1_700_000_000_123)

    def shown(**params: Any) -> dict[str, Any]:
        answer = google.get(f"{ME}/messages/{id}", token, **params)
        assert answer.status_code == 200
        return dict(answer.json())

    least = shown(format="minimal")
    assert least == {
        "id": id,
        "threadId": "18e0000000000001",
        "labelIds": ["INBOX", "UNREAD"],
        "snippet": "grüße &amp;",
        "sizeEstimate": len(MAIL),
        "historyId": least["historyId"],
        "internalDate": "1700000000123",
    }
    assert base64.urlsafe_b64decode(shown(format="raw")["raw"]) == MAIL
    text, image = shown()["payload"]["parts"]
    # like Gmail: the text is UTF-8, the header is unchanged
    assert base64.urlsafe_b64decode(text["body"]["data"]).decode() == "grüße & <more>"
    assert {"name": "Content-Type", "value": "text/plain; charset=iso-8859-1"} in text["headers"]
    assert (image["filename"], image["body"]["size"]) == ("a.png", 8)
    assert "data" not in image["body"]
    assert image["body"]["attachmentId"]
    only = shown(format="metadata", metadataHeaders=["FROM"])["payload"]
    assert only["headers"] == [{"name": "From", "value": "joe@example.com"}]
    assert "parts" not in only


def test_fields_reduce_a_response(google: Served, token: str) -> None:
    id = google.fake.deliver(MAIL)
    fields = "id,payload(mimeType,parts(filename,body/size))"
    assert google.get(f"{ME}/messages/{id}", token, fields=fields).json() == {
        "id": id,
        "payload": {
            "mimeType": "multipart/mixed",
            "parts": [
                {"filename": "", "body": {"size": 16}},
                {"filename": "a.png", "body": {"size": 8}},
            ],
        },
    }
    assert google.get(f"{ME}/messages", token, fields="messages/id").json() == {
        "messages": [{"id": id}]
    }
    assert cut({"a": 1}, None) == cut({"a": 1}, "*") == {"a": 1}


def test_get_of_a_missing_mail_is_404(google: Served, token: str) -> None:
    assert reason(google.get(f"{ME}/messages/18f0ffffffffffff", token)) == (404, "notFound")
    id = google.deliver()[0]
    google.fake.delete(id)
    assert reason(google.get(f"{ME}/messages/{id}", token)) == (404, "notFound")


def test_attachment_of_an_unknown_id_is_rejected(google: Served, token: str) -> None:
    path = f"{ME}/messages/{google.fake.deliver(MAIL)}/attachments"
    assert google.get(f"{path}/ANGj1", token).json()["size"] == 8
    for id in ("ANGj7", "ANGj7.1"):
        assert reason(google.get(f"{path}/{id}", token)) == (400, "invalidArgument")
    whole = google.get(f"{path}/ANGj", token).json()
    assert whole == {"size": 0, "data": ""}, "a part that only holds other parts has no content"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff",
        b"Content-Type: multipart/mixed\r\n\r\nx",
        b"Content-Type: text/plain; charset=none-such\r\n\r\n\xff",
        b"Subject: \xff\xfe\r\nContent-Type: multipart/mixed; boundary=\r\n\r\n--\r\n",
        b"Content-Type: message/rfc822\r\n\r\n" * 3000,
    ],
)
@pytest.mark.parametrize("format", ["full", "metadata", "minimal", "raw"])
def test_resource_shows_any_broken_mail(raw: bytes, format: str) -> None:
    fake = create_fake_gmail(())
    shown = resource(fake.mailbox.get(fake.deliver(raw)), format)
    assert json.dumps(shown).encode("utf-8")


@pytest.mark.parametrize("format", ["full", "metadata", "minimal", "raw"])
def test_mailbox_holds_the_samples_by_default(format: str) -> None:
    mailbox = create_fake_gmail().mailbox
    found = mailbox.find() + mailbox.find(["SPAM"]) + mailbox.find(["TRASH"])
    assert {mail.id for mail in found} == {sample.gmail_id for sample in samples()}
    for mail in found:
        assert json.dumps(resource(mail, format)).encode("utf-8")


def test_ids_are_reproducible_and_unique_across_threads() -> None:
    assert (
        create_fake_gmail(()).deliver(b"")
        == create_fake_gmail(()).deliver(b"")
        == "18f0000000000001"
    )
    fake = create_fake_gmail(())
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda: ids.extend(fake.deliver(b"") for _ in range(200)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 800
    changes = [change.history_id for change in fake.mailbox.history(1000)]
    assert changes == sorted(set(changes))
    with pytest.raises(ValueError, match="already exists"):
        fake.deliver(b"", id=ids[0])


# --------------------------------------------------------------------------------- history, labels


def test_history_lists_the_changes_after_an_id(google: Served, token: str) -> None:
    start = google.get(f"{ME}/profile", token).json()["historyId"]
    nothing = google.get(f"{ME}/history", token, startHistoryId=start).json()
    assert nothing == {"historyId": start}  # without changes there is no history field
    kept, gone = google.deliver(2)
    google.fake.mailbox.modify([kept], add=["STARRED"], remove=["UNREAD"])
    google.fake.delete(gone)
    found = google.get(f"{ME}/history", token, startHistoryId=start).json()
    kinds = [
        next(field for field in record if field != "messages" and field != "id")
        for record in found["history"]
    ]
    assert kinds == [
        "messagesAdded",
        "messagesAdded",
        "labelsAdded",
        "labelsRemoved",
        "messagesDeleted",
    ]
    assert found["history"][0]["messagesAdded"][0]["message"]["id"] == kept
    assert found["history"][2]["labelsAdded"][0]["labelIds"] == ["STARRED"]
    assert int(found["historyId"]) >= int(found["history"][-1]["id"])
    only = {"startHistoryId": start, "historyTypes": ["labelAdded"], "labelId": "STARRED"}
    assert len(google.get(f"{ME}/history", token, **only).json()["history"]) == 1


def test_history_comes_in_pages(google: Served, token: str) -> None:
    start = google.get(f"{ME}/profile", token).json()["historyId"]
    google.deliver(5)
    seen = []
    page = {}
    while not seen or page:
        answer = google.get(
            f"{ME}/history", token, startHistoryId=start, maxResults=2, **page
        ).json()
        seen.append(len(answer["history"]))
        page = {"pageToken": answer["nextPageToken"]} if "nextPageToken" in answer else {}
    assert seen == [2, 2, 1]


def test_history_since_an_old_or_unknown_id_is_404(google: Served, token: str) -> None:
    start = google.get(f"{ME}/profile", token).json()["historyId"]
    google.fake.mailbox.forget_history()
    assert reason(google.get(f"{ME}/history", token, startHistoryId=start)) == (404, "notFound")
    assert reason(google.get(f"{ME}/history", token, startHistoryId=10**9)) == (404, "notFound")


def test_labels_are_created_once_and_put_on_mails(google: Served) -> None:
    token = token_for(google, MODIFY)
    ids = google.deliver(2)
    made = google.send("POST", f"{ME}/labels", token, json={"name": "routed"}).json()
    assert (made["id"], made["name"], made["type"]) == ("Label_1", "routed", "user")
    assert reason(google.send("POST", f"{ME}/labels", token, json={"name": "Routed"})) == (
        409,
        "aborted",
    )
    assert made in google.get(f"{ME}/labels", token).json()["labels"]
    one = google.send(
        "POST", f"{ME}/messages/{ids[0]}/modify", token, json={"removeLabelIds": ["UNREAD"]}
    )
    assert one.json()["labelIds"] == ["INBOX"]
    change = {"ids": [*ids, "18f0ffffffffffff"], "addLabelIds": ["Label_1"]}
    done = google.send("POST", f"{ME}/messages/batchModify", token, json=change)
    assert (done.status_code, done.content) == (204, b"")
    assert all("Label_1" in google.fake.mailbox.get(id).label_ids for id in ids)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("messages/batchModify", {"ids": []}, (400, "invalidArgument")),
        ("messages/batchModify", {"ids": ["x"] * 1001}, (400, "invalidArgument")),
        ("messages/ID/modify", {"addLabelIds": ["Label_9"]}, (400, "invalidArgument")),
        ("messages/18f0ffffffffffff/modify", {"addLabelIds": ["STARRED"]}, (404, "notFound")),
        ("labels", {"name": ""}, (400, "invalidArgument")),
        ("labels", [], (400, "invalidArgument")),
    ],
)
def test_invalid_changes_are_rejected(
    google: Served, path: str, body: Any, expected: tuple[int, str]
) -> None:
    path = path.replace("ID", google.deliver()[0])
    assert (
        reason(google.send("POST", f"{ME}/{path}", token_for(google, MODIFY), json=body))
        == expected
    )


# ----------------------------------------------------------------------------------------- batches


def batch(
    google: Served, token: str | None, *targets: str, headers: tuple[str, ...] = ()
) -> requests.Response:
    """Send a batch as Google's client writes it, with LF line ends."""
    parts = [
        f"--b\nContent-Type: application/http\nContent-ID: <u + {n}>\n\nGET {target} HTTP/1.1\n"
        f"Content-Type: application/json\n{''.join(f'{h}{chr(10)}' for h in headers)}\n\n"
        for n, target in enumerate(targets)
    ]
    body = "".join(parts) + "--b--"
    with requests.Session() as session:
        session.trust_env = False
        given = {"Content-Type": 'multipart/mixed; boundary="b"'}
        given |= {"Authorization": f"Bearer {token}"} if token else {}
        return session.post(f"{google.url}/batch", data=body, headers=given, timeout=40)


def answers(answer: requests.Response) -> dict[str, int]:
    """Return each part's status by its Content-ID; check that the lines end in CRLF."""
    assert answer.status_code == 200
    boundary = answer.headers["Content-Type"].partition("boundary=")[2]
    found = {}
    for part in answer.text.split(f"--{boundary}")[1:-1]:
        outer, inner, body = part.strip("\r\n").split("\r\n\r\n", 2)
        assert isinstance(json.loads(body), dict)
        [id] = [
            line.partition(": ")[2] for line in outer.split("\r\n") if line.startswith("Content-ID")
        ]
        found[id] = int(inner.split()[1])
    return found


def test_batch_answers_each_part_by_its_id_in_any_order(google: Served, token: str) -> None:
    ids = google.deliver(3)
    google.fake.delete(ids[1])
    google.fake.faults.order(gmail_fault(f"GET {ME}/messages/{ids[2]}", 429))
    answer = batch(google, token, *(f"{ME}/messages/{id}?format=raw" for id in ids))
    found = answers(answer)
    assert found == {"<response-u + 0>": 200, "<response-u + 1>": 404, "<response-u + 2>": 429}
    assert list(found) == sorted(found, reverse=True)


def test_token_of_a_part_takes_precedence_over_the_batch(google: Served, token: str) -> None:
    id = google.deliver()[0]
    path = f"{ME}/messages/{id}"
    assert answers(batch(google, token, path, headers=("Authorization: Bearer expired",))) == {
        "<response-u + 0>": 401
    }
    assert reason(batch(google, "expired", path)) == (401, "authError")
    google.fake.options.checks_batch = False
    assert answers(batch(google, "expired", path)) == {"<response-u + 0>": 401}
    assert answers(batch(google, None, path, headers=(f"Authorization: Bearer {token}",))) == {
        "<response-u + 0>": 200
    }


def test_batch_is_multipart_with_at_most_100_parts(google: Served, token: str) -> None:
    path = f"{ME}/messages/{google.deliver()[0]}"
    assert len(answers(batch(google, token, *[path] * 100))) == 100
    assert batch(google, token, *[path] * 101).status_code == 429
    assert reason(google.send("POST", "/batch", token, json={})) == (400, "invalidArgument")
    with pytest.raises(GoogleError):
        read_parts("multipart/mixed; boundary=b", b"--b\nContent-Type: text/plain\n\nhello\n--b--")


# ------------------------------------------------------------------------------------------- OAuth


def asked(google: Served, **changes: str) -> dict[str, str]:
    challenge = (
        base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
    )
    return {
        "response_type": "code",
        "client_id": google.fake.tokens.client_id,
        "redirect_uri": BACK,
        "scope": READONLY,
        "state": "s<1>&",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "access_type": "offline",
        "prompt": "consent",
    } | changes


def code_of(google: Served, **changes: str) -> str:
    google.fake.options.consent = "allow"
    answer = google.send(
        "GET", "/o/oauth2/auth", params=asked(google, **changes), allow_redirects=False
    )
    return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


def redeemed(google: Served, code: str, **changes: str) -> requests.Response:
    tokens = google.fake.tokens
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
        "client_id": tokens.client_id,
        "client_secret": tokens.client_secret,
    }
    return google.send("POST", "/token", data=form | changes)


@pytest.mark.parametrize("answer", ["allow", "deny"])
def test_consent_page_redirects_with_the_answer(google: Served, answer: str) -> None:
    page = google.send("GET", "/o/oauth2/auth", params=asked(google))
    assert "<1>" not in page.text  # parameters are escaped
    form = form_of(page.text)
    data = {"request": form["request"], "scope": form["scope"], "answer": answer}
    back = google.send("POST", form["action"], data=data, allow_redirects=False)
    assert back.status_code == 302
    assert back.headers["Location"].startswith(BACK)
    found = parse_qs(urlsplit(back.headers["Location"]).query)
    assert found["state"] == ["s<1>&"]
    assert ("code" in found, found.get("error")) == (
        (True, None) if answer == "allow" else (False, ["access_denied"])
    )


@pytest.mark.parametrize("consent", ["allow", "deny"])
def test_consent_can_be_answered_automatically(google: Served, consent: Any) -> None:
    google.fake.options.consent = consent
    back = google.send("GET", "/o/oauth2/auth", params=asked(google), allow_redirects=False)
    assert ("code=" if consent == "allow" else "error=access_denied") in back.headers["Location"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"client_id": "another"}, "invalid_client"),
        ({"redirect_uri": "https://evil.example.com/"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "urn:ietf:wg:oauth:2.0:oob"}, "redirect_uri_mismatch"),
        ({"response_type": "token"}, "invalid_request"),
        ({"scope": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_invalid_consent_request_is_reported_without_a_redirect(
    google: Served, changes: dict[str, str], problem: str
) -> None:
    google.fake.options.consent = "allow"
    answer = google.send(
        "GET", "/o/oauth2/auth", params=asked(google, **changes), allow_redirects=False
    )
    assert (answer.status_code, problem in answer.text) == (400, True)
    form = {"request": urlencode(asked(google, **changes)), "answer": "allow", "scope": READONLY}
    assert (
        google.send("POST", "/o/oauth2/auth", data=form, allow_redirects=False).status_code == 400
    )


def test_code_is_exchanged_once(google: Served) -> None:
    code = code_of(google)
    given = redeemed(google, code).json()
    assert (given["token_type"], given["expires_in"], given["scope"]) == ("Bearer", 3600, READONLY)
    assert google.get(f"{ME}/profile", given["access_token"]).status_code == 200
    assert given["refresh_token"]
    again = redeemed(google, code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"code_verifier": "another"}, (400, "invalid_grant")),
        ({"code_verifier": ""}, (400, "invalid_grant")),
        ({"redirect_uri": "http://127.0.0.1:9/"}, (400, "invalid_grant")),
        ({"client_secret": "another"}, (401, "invalid_client")),
        ({"client_id": "another"}, (401, "invalid_client")),
        ({"grant_type": "password"}, (400, "unsupported_grant_type")),
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, (400, "invalid_grant")),
    ],
)
def test_token_errors_are_like_googles(
    google: Served, changes: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = redeemed(google, code_of(google), **changes)
    assert (answer.status_code, answer.json()["error"]) == expected
    assert answer.json()["error_description"]


def test_refresh_token_needs_offline_access_and_prompt_consent(google: Served) -> None:
    assert "refresh_token" not in redeemed(google, code_of(google, access_type="online")).json()
    assert "refresh_token" not in redeemed(google, code_of(google, prompt="none")).json()


def test_refresh_token_is_valid_until_revoked(google: Served) -> None:
    refresh = {
        "grant_type": "refresh_token",
        "refresh_token": redeemed(google, code_of(google)).json()["refresh_token"],
    }
    google.fake.expire_tokens()
    given = redeemed(google, "", **refresh).json()
    assert google.get(f"{ME}/profile", given["access_token"]).status_code == 200
    assert "refresh_token" not in given
    google.send("POST", "/revoke", data={"token": given["access_token"]})
    answer = redeemed(google, "", **refresh)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert answer.json()["error_description"] == "Token has been expired or revoked."
    assert reason(google.get(f"{ME}/profile", given["access_token"])) == (401, "authError")


# ------------------------------------------------------------------------- other people's web pages


@pytest.mark.parametrize("host", ["evil.example:8025", "127.0.0.1.evil.example", "", "localhost@x"])
def test_fake_rejects_the_host_of_another_site(google: Served, token: str, host: str) -> None:
    """A web page whose name was pointed at 127.0.0.1 could read the mailbox."""
    for path in (f"{ME}/profile", "/token", "/batch"):
        answer = requests.request(
            "GET" if "profile" in path else "POST",
            f"{google.url}{path}",
            headers={"Host": host, "Authorization": f"Bearer {token}"},
            timeout=60,
        )
        assert answer.status_code == 400
        assert "127.0.0.1" in answer.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8025"])
def test_fake_answers_to_this_machine(google: Served, token: str, host: str) -> None:
    answer = requests.get(
        f"{google.url}{ME}/profile",
        headers={"Host": host, "Authorization": f"Bearer {token}"},
        timeout=60,
    )
    assert answer.status_code == 200


def test_revoke_needs_a_token(google: Served, token: str) -> None:
    for data in (b"", b"token=", b"token=another"):
        answer = requests.post(
            f"{google.url}/revoke",
            data=data,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=60,
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_token")
    assert google.get(f"{ME}/profile", token).status_code == 200
    answer = requests.post(f"{google.url}/revoke", data={"token": token}, timeout=60)
    assert answer.status_code == 200
    assert google.get(f"{ME}/profile", token).status_code == 401


@pytest.mark.parametrize("path", ["/token", "/revoke", "/o/oauth2/auth"])
@pytest.mark.parametrize("authorization", ["", "Basic /w==", "Basic x"])
def test_form_that_is_no_utf_8_is_a_bad_request(
    google: Served, path: str, authorization: str
) -> None:
    answer = requests.post(
        f"{google.url}{path}",
        data=b"grant_type=\xff",
        headers={"Authorization": authorization} if authorization else {},
        timeout=60,
    )
    assert answer.status_code == 400
