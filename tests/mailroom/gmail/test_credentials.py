"""Consent and the token file: what a person has to do, how often, and what he is told when it fails."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from eventlab.mailroom.errors import BadSetting, GmailFailed, TokenDead
from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.gmail.credentials import MODIFY, READONLY, authorize, load, save
from eventlab.sandbox.faults import Fault
from tests.support.gmail import Person, Served, served


@pytest.fixture
def google(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as it:
        yield it


def never(_text: str) -> bool:
    raise AssertionError("nobody is to be asked")


def ask(google: Served, person: Person, **options: Any) -> Any:
    try:
        return authorize(
            google.client_file,
            google.token_file,
            open_url=person.open,
            timeout_seconds=40,
            **options,
        )
    finally:
        person.done()


def stored(google: Served, *, expired: bool = False) -> Path:
    """Write a token file, as an earlier consent would have left it."""
    path = google.fake.write_token(google.token_file, google.url)
    if expired:
        info = json.loads(path.read_bytes()) | {"expiry": "2026-01-01T00:00:00Z"}
        path.write_text(json.dumps(info))
    return path


def sentence(error: pytest.ExceptionInfo[BaseException]) -> str:
    """Give an error's text, having seen that it is one sentence and drags no cause along."""
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return text


# ------------------------------------------------------------------------------------------------------- consent


def test_consent_is_given_once_in_a_browser_and_kept_in_a_file_of_ones_own(google: Served) -> None:
    credentials = ask(google, person := Person())
    assert person.pages[-1].text == "Consent was given. You may close this window."
    assert stat.S_IMODE(google.token_file.stat().st_mode) == 0o600
    again = authorize(google.client_file, google.token_file, open_url=never)
    assert (again.token, again.refresh_token) == (credentials.token, credentials.refresh_token)
    with GmailClient(again, endpoint=google.url) as gmail:
        assert [page.ids for page in gmail.pages(since=None)] == [()]


def test_reading_is_all_that_is_asked_for_unless_labels_are_to_be_set(google: Served) -> None:
    assert ask(google, Person()).scopes == [READONLY]
    person = Person()
    assert ask(google, person, modify=True).scopes == [
        MODIFY
    ]  # the file's token is not good for that
    assert authorize(google.client_file, google.token_file, open_url=never).scopes == [
        MODIFY
    ]  # but this one for both


def test_strangers_who_call_at_the_port_do_not_end_the_wait(google: Served) -> None:
    strays = ["/favicon.ico", "/", "/?state=another&code=4/x", "/?code=4/x"]
    person = Person(strays=strays)
    assert ask(google, person).token
    assert [page.status for page in person.pages] == [404] * len(strays) + [200]


def test_one_who_calls_and_says_nothing_does_not_end_the_wait(google: Served) -> None:
    person, silent = Person(), []

    def open_url(link: str) -> bool:
        port = int(re.findall(r"127\.0\.0\.1%3A(\d+)%2F&", link)[0])
        silent.append(socket.create_connection(("127.0.0.1", port)))
        return person.open(link)

    assert authorize(
        google.client_file, google.token_file, open_url=open_url, timeout_seconds=40
    ).token
    person.done()
    silent[0].close()


def test_without_a_browser_to_open_the_link_is_shown(google: Served) -> None:
    person, said = Person(), []

    def say(text: str) -> None:
        said.append(text)
        person.open(text.splitlines()[-1])

    authorize(
        google.client_file,
        google.token_file,
        browser=False,
        open_url=never,
        say=say,
        timeout_seconds=40,
    )
    person.done()
    assert len(said) == 1
    assert google.token_file.exists()


def test_who_denies_is_told_what_that_means(google: Served) -> None:
    person = Person("deny")
    with pytest.raises(GmailFailed, match="consent was denied") as error:
        ask(google, person)
    assert sentence(error)
    assert person.pages[-1].text == "Consent was denied. You may close this window."
    assert not google.token_file.exists()


def test_who_unticks_a_box_is_told_so_and_nothing_is_kept(google: Served) -> None:
    scopes = "https://www.googleapis.com/auth/userinfo.email"

    def ask_for_less(_text: str) -> str:  # what Google does when one of several boxes is left empty
        return Person().consent(
            re.sub(r"scope=[^&]*", f"scope={quote(scopes)}", said[0].splitlines()[-1])
        )

    said: list[str] = []
    with pytest.raises(GmailFailed, match="leave every box ticked") as error:
        authorize(
            google.client_file,
            google.token_file,
            browser="paste-back",
            say=said.append,
            ask=ask_for_less,
        )
    assert sentence(error)
    assert not google.token_file.exists()


def test_who_does_not_answer_is_not_waited_for_for_ever(google: Served) -> None:
    with pytest.raises(GmailFailed, match=r"no consent came within 0\.2 seconds") as error:
        authorize(
            google.client_file, google.token_file, open_url=lambda _: True, timeout_seconds=0.2
        )
    assert sentence(error)


@pytest.mark.parametrize("answer", [False, webbrowser.Error("no")], ids=["none", "fails"])
def test_where_no_browser_can_be_opened_one_is_told_how_else(
    google: Served, answer: object
) -> None:
    def open_url(_link: str) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(GmailFailed, match=r'browser=False .* browser="paste-back"') as error:
        authorize(google.client_file, google.token_file, open_url=open_url)
    assert "no browser" in sentence(error)


def test_a_busy_port_is_named(google: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(GmailFailed, match=f"port {port} is busy") as error:
            authorize(google.client_file, google.token_file, port=port, open_url=never)
    assert sentence(error)


def test_the_browser_comes_back_to_the_port_that_was_named(google: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    person = Person()
    ask(google, person, port=port)
    assert f"127.0.0.1%3A{port}%2F" in person.links[0]


def test_a_client_that_google_does_not_know_is_named(google: Served) -> None:
    path = google.client_file
    path.write_text(path.read_text().replace("sandbox-secret", "another"))
    person = Person()
    with pytest.raises(GmailFailed, match="does not know the client") as error:
        authorize(path, google.token_file, open_url=person.open, timeout_seconds=40)
    person.done()
    assert sentence(error)


@pytest.mark.parametrize(
    "fault",
    [Fault(on="POST /token", drop="before"), Fault(on="POST /token", status=503, body={})],
    ids=["drop", "503"],
)
def test_a_token_endpoint_that_fails_is_one_sentence(google: Served, fault: Fault) -> None:
    google.fake.faults.order(fault)
    with pytest.raises(
        GmailFailed, match=r"Google (could not be asked for the|gave no) token"
    ) as error:
        ask(google, Person())
    assert sentence(error)


# ---------------------------------------------------------------------------------------------------- paste-back


def pasted(google: Served, change: Callable[[str], str], answer: str = "allow") -> Any:
    """Give consent in a browser elsewhere, and paste what it shows, changed or not."""
    said: list[str] = []
    return authorize(
        google.client_file,
        google.token_file,
        browser="paste-back",
        open_url=never,
        say=said.append,
        ask=lambda _: change(Person(answer).consent(said[0].splitlines()[-1])),
    )


def test_from_a_browser_elsewhere_the_address_is_brought_back_by_hand(google: Served) -> None:
    addresses: list[str] = []
    credentials = pasted(google, lambda address: addresses.append(address) or f"  {address}\n")  # type: ignore[func-returns-value]
    assert addresses[0].startswith("http://localhost:1/?")
    assert credentials.token
    assert stat.S_IMODE(google.token_file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("change", "answer", "told"),
    [
        (lambda address: address, "deny", "consent was denied"),
        (
            lambda address: re.sub(r"state=\w+", "state=older", address),
            "allow",
            "belongs to another request",
        ),
        (lambda address: "http://localhost:1/", "allow", "paste the whole address"),
        (
            lambda address: re.findall(r"code=([^&]*)", address)[0],
            "allow",
            "paste the whole address",
        ),
        (lambda address: "", "allow", "paste the whole address"),
        (
            lambda address: re.sub(r"code=[^&]*", "code=4/used", address),
            "allow",
            "used before, or came too late",
        ),
    ],
    ids=["denied", "older", "no answer", "the code only", "nothing", "used"],
)
def test_what_is_pasted_is_looked_at(
    google: Served, change: Callable[[str], str], answer: str, told: str
) -> None:
    with pytest.raises(GmailFailed, match=told) as error:
        pasted(google, change, answer)
    assert sentence(error)
    assert not google.token_file.exists()


def test_where_nobody_can_be_asked_one_is_told_so(google: Served) -> None:
    def nobody(_text: str) -> str:
        raise EOFError

    with pytest.raises(GmailFailed, match="nobody here to ask") as error:
        authorize(
            google.client_file,
            google.token_file,
            browser="paste-back",
            say=lambda _: None,
            ask=nobody,
        )
    assert sentence(error)


# ------------------------------------------------------------------------------------------------- without https


def oauthlib_switches(url: str, folder: Path) -> dict[str, str]:
    """Give oauthlib's options as they are while consent is asked for at an address."""
    path = folder / "client.json"
    config = {
        "client_id": "x",
        "client_secret": "y",
        "auth_uri": f"{url}/auth",
        "token_uri": f"{url}/token",
    }
    path.write_text(json.dumps({"installed": config}))
    seen: dict[str, str] = {}

    def look(_text: str) -> str:
        seen.update(
            {name: value for name, value in os.environ.items() if name.startswith("OAUTHLIB_")}
        )
        return ""

    with pytest.raises(GmailFailed):
        authorize(path, folder / "token.json", browser="paste-back", say=lambda _: None, ask=look)
    return seen


def test_the_check_for_https_is_off_for_this_machine_only_and_not_for_long(tmp_path: Path) -> None:
    assert "OAUTHLIB_INSECURE_TRANSPORT" in oauthlib_switches("http://127.0.0.1:9", tmp_path)
    assert oauthlib_switches("https://accounts.example.com", tmp_path) == {
        "OAUTHLIB_RELAX_TOKEN_SCOPE": "1"
    }
    assert [name for name in os.environ if name.startswith("OAUTHLIB_")] == []


# ----------------------------------------------------------------------------------------------- the client file

DESKTOP = {
    "client_id": "i",
    "client_secret": "CANARY",
    "auth_uri": "https://a.example/",
    "token_uri": "https://t.example",
}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no file"),
        ("{CANARY", "is not JSON"),
        ("[]", "is JSON, but no object"),
        ("{}", "is no OAuth client"),
        (json.dumps({"web": DESKTOP}), "is for a web application"),
        (json.dumps({"installed": []}), "has no client_id"),
        (json.dumps({"installed": {**DESKTOP, "client_secret": ""}}), "has no client_secret"),
        (
            json.dumps({"installed": {**DESKTOP, "token_uri": "http://t.example/x"}}),
            "http is accepted for this machine",
        ),
        (
            json.dumps({"installed": {**DESKTOP, "auth_uri": "http://localhost.t.example"}}),
            "http is accepted for",
        ),
        (
            json.dumps({"installed": {**DESKTOP, "auth_uri": "ftp://t.example"}}),
            "begins with https://",
        ),
    ],
)
def test_a_client_file_that_is_of_no_use_is_named_with_what_is_wrong(
    tmp_path: Path, content: str | None, told: str
) -> None:
    path = tmp_path / "client.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadSetting, match=re.escape(told)) as error:
        authorize(path, tmp_path / "token.json", open_url=never)
    assert error.value.name == "EVENTLAB_GMAIL_CLIENT"
    assert "CANARY" not in sentence(error)


# ------------------------------------------------------------------------------------------------ the token file


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("{CANARY", "is not JSON"),
        ("[]", "is JSON, but no object"),
        ({"refresh_token": None}, None),
        ({"token_uri": "http://example.com/token"}, "http is accepted for this machine"),
        ({"expiry": "CANARY"}, "is no token file"),
        ({"expiry": 7}, "is no token file"),
    ],
)
def test_a_token_file_that_is_of_no_use_is_named_with_what_is_wrong(
    google: Served, change: Any, told: str
) -> None:
    path = stored(google)
    path.write_text(
        change if isinstance(change, str) else json.dumps(json.loads(path.read_text()) | change)
    )
    if told is None:
        assert load(path).refresh_token is None  # it is good until it ends
        return
    with pytest.raises(BadSetting, match=told) as error:
        load(path)
    assert error.value.name == "EVENTLAB_GMAIL_TOKEN"
    assert "CANARY" not in sentence(error)


def test_a_token_file_without_its_fields_or_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    with pytest.raises(BadSetting, match="give consent first"):
        load(path)
    path.touch(0o600)
    path.write_text('{"token": "x"}')
    with pytest.raises(BadSetting, match="is no token file"):
        load(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_a_token_file_that_others_can_open_is_refused(google: Served, mode: int) -> None:
    path = stored(google)
    path.chmod(mode)
    with pytest.raises(
        BadSetting, match=rf"can be read by others \(mode {mode:04o}\): chmod 600"
    ) as error:
        load(path)
    assert sentence(error)


def test_a_token_that_has_ended_is_renewed_where_it_came_from_and_saved(google: Served) -> None:
    path = stored(google, expired=True)
    before = json.loads(path.read_text())
    credentials = authorize(google.client_file, path, open_url=never)
    after = json.loads(path.read_text())
    assert google.fake.tokens.refreshed == 1
    assert after["token"] == credentials.token != before["token"]
    assert after["expiry"] > "2026-01-02"
    assert {
        name: after[name]
        for name in ("refresh_token", "token_uri", "client_id", "client_secret", "scopes")
    } == {
        name: before[name]
        for name in ("refresh_token", "token_uri", "client_id", "client_secret", "scopes")
    }
    assert load(path).valid


def test_the_file_is_replaced_as_a_whole(google: Served) -> None:
    path = stored(google, expired=True)
    before = path.read_text()
    with path.open() as reader:
        load(path).refresh(None)
        assert reader.read() == before  # who reads meanwhile reads the old one to its end
    assert path.read_text() != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_link_to_the_file_stays_a_link(google: Served) -> None:
    path = stored(google, expired=True)
    link = path.with_name("link.json")
    link.symlink_to(path)
    load(link).refresh(None)
    assert link.is_symlink()
    assert load(path).valid


def test_a_renewed_token_that_cannot_be_saved_is_used_and_that_is_said(
    google: Served, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = load(path := stored(google, expired=True))
    path.unlink()
    path.mkdir()
    credentials.refresh(None)
    assert credentials.valid
    assert [record.getMessage() for record in caplog.records] == [
        "Gmail's renewed token is used, but could not be saved: Is a directory"
    ]
    assert [file.name for file in path.parent.iterdir()] == [
        path.name
    ]  # nothing half-written is left


def test_a_folder_for_the_file_is_made_for_oneself_only(google: Served) -> None:
    path = google.folder / "new" / "token.json"
    save(load(stored(google)), path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_proxy_is_not_asked_about_this_machine(
    google: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    ask(google, Person())
    google.token_file.unlink()
    load(stored(google, expired=True)).refresh(None)
    assert google.fake.tokens.refreshed == 1


# ----------------------------------------------------------------------------------------------------- it is dead


def test_a_revoked_token_is_dead_and_one_sentence_says_what_to_do(google: Served) -> None:
    path = stored(google, expired=True)
    before = path.read_text()
    google.fake.revoke()
    with pytest.raises(TokenDead, match="give consent again") as error:
        authorize(google.client_file, path, open_url=never)
    text = sentence(error)
    for way in (
        "revoked",
        "password was changed",
        "six months",
        "seven days",
    ):  # Google does not say which it was
        assert way in text
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("body", "dead", "told"),
    [
        ({"error": "invalid_grant", "error_description": "Bad Request"}, True, "seven days"),
        ({"error": "invalid_grant", "error_subtype": "invalid_rapt"}, True, "sign in again"),
        (
            {"error": "invalid_client", "error_description": "CANARY"},
            True,
            "does not know the client",
        ),
        ({"error": "deleted_client"}, True, "was deleted"),
        ({"error": "disabled_client"}, True, "is disabled"),
        ({"error": "unauthorized_client"}, True, "another client"),
        ({"error": "invalid_scope"}, True, "box ticked"),
        ({"error": "access_denied"}, True, "administrator"),
        ({"error": "admin_policy_enforced"}, True, "administrator"),
        ({"error": "org_internal"}, True, "organisation"),
        ({"error": "CANARY"}, False, "for a reason that is not known here"),
        ({"error": ["CANARY"]}, False, "for a reason that is not known here"),
        (["CANARY"], False, "could not be asked"),
        (None, False, "could not be asked"),
        ("CANARY", False, "for a reason that is not known here"),
    ],
)
def test_each_way_to_be_refused_a_new_token_has_its_sentence(
    google: Served, body: Any, dead: bool, told: str
) -> None:
    path = stored(google, expired=True)
    google.fake.faults.order(Fault(on="POST /token", status=400, body=body))
    with pytest.raises(GmailFailed, match=told) as error:
        load(path).refresh(None)
    assert isinstance(error.value, TokenDead) is dead
    assert "CANARY" not in sentence(error)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="POST /token", times=10, drop="before"),
        Fault(on="POST /token", times=10, status=503, body={"error": "CANARY"}),
        Fault(on="POST /token", times=10, status=302, headers=(("Location", "/revoke"),)),
        Fault(on="POST /token", times=10, status=200, body={}),
        Fault(on="POST /token", times=10, status=200, body="CANARY"),
    ],
    ids=["drop", "503", "redirect", "no token", "no JSON"],
)
def test_a_token_is_not_dead_only_because_google_is_away(google: Served, fault: Fault) -> None:
    path = stored(google, expired=True)
    google.fake.faults.order(fault)
    with pytest.raises(GmailFailed, match="try again later") as error:
        load(path).refresh(None)
    assert not isinstance(error.value, TokenDead)
    assert "CANARY" not in sentence(error)
    google.fake.faults.clear()
    load(path).refresh(None)


def test_a_token_that_has_ended_with_nothing_to_renew_it_is_dead(google: Served) -> None:
    path = stored(google, expired=True)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"refresh_token": None}))
    with pytest.raises(TokenDead, match="nothing with it to renew it") as error:
        load(path).refresh(None)
    assert sentence(error)
