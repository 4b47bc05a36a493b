"""Consent and the token file: what an operator has to do, how often, and after each failure."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import stat
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from eventlab.mailroom.errors import BadSetting, ConsentRequired, GmailFailed
from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.gmail.credentials import MODIFY, READONLY, authorize, load, save
from eventlab.sandbox.faults import Fault
from tests.support.gmail import Operator, Served, served
from tests.support.scripted_server import ScriptedServer
from tests.support.waiting import wait_until


@pytest.fixture
def google(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as it:
        yield it


def never(_text: str) -> bool:
    raise AssertionError("must not ask the operator")


def ask(google: Served, operator: Operator, **options: Any) -> Any:
    try:
        return authorize(
            google.client_file,
            google.token_file,
            open_url=operator.open,
            timeout_seconds=40,
            **options,
        )
    finally:
        operator.done()


def stored(google: Served, *, expired: bool = False) -> Path:
    """Write a token file as an earlier consent would have left it."""
    path = google.fake.write_token(google.token_file, google.url)
    if expired:
        info = json.loads(path.read_bytes()) | {"expiry": "2026-01-01T00:00:00Z"}
        path.write_text(json.dumps(info))
    return path


def message_of(error: pytest.ExceptionInfo[BaseException]) -> str:
    """Return an error's message after checking that it is one short line without a cause."""
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return text


# ----------------------------------------------------------------------------------------- consent


def test_consent_is_asked_for_once_and_kept_in_a_private_file(google: Served) -> None:
    credentials = ask(google, operator := Operator())
    assert operator.pages[-1].text == "Consent was given. You may close this window."
    assert stat.S_IMODE(google.token_file.stat().st_mode) == 0o600
    again = authorize(google.client_file, google.token_file, open_url=never)
    assert (again.token, again.refresh_token) == (credentials.token, credentials.refresh_token)
    with GmailClient(again, endpoint=google.url) as gmail:
        assert [page.ids for page in gmail.pages(since=None)] == [()]


def test_authorize_requests_read_only_unless_modify_is_set(google: Served) -> None:
    assert ask(google, Operator()).scopes == [READONLY]
    operator = Operator()
    # The stored token does not cover labels; the new one covers both.
    assert ask(google, operator, modify=True).scopes == [MODIFY]
    stored = authorize(google.client_file, google.token_file, open_url=never)
    assert stored.scopes == [MODIFY]


def test_unexpected_requests_at_the_port_do_not_end_the_wait(google: Served) -> None:
    strays = ["/favicon.ico", "/", "/?state=another&code=4/x", "/?code=4/x"]
    operator = Operator(strays=strays)
    assert ask(google, operator).token
    assert [page.status for page in operator.pages] == [404] * len(strays) + [200]


def test_silent_connection_does_not_end_the_wait(google: Served) -> None:
    operator = Operator()
    silent = []

    def open_url(link: str) -> bool:
        port = int(re.findall(r"127\.0\.0\.1%3A(\d+)%2F&", link)[0])
        silent.append(socket.create_connection(("127.0.0.1", port)))
        return operator.open(link)

    assert authorize(
        google.client_file, google.token_file, open_url=open_url, timeout_seconds=40
    ).token
    operator.done()
    silent[0].close()


class SlowVisitor:
    """A visitor of the port that sends a byte of a request often enough for any socket's timeout.

    It ends by itself after ``BYTES`` bytes, which nobody may wait for.
    """

    BYTES = 15_000

    def __init__(self) -> None:
        self.sent = 0
        self._thread: threading.Thread | None = None

    def visit(self, link: str) -> bool:
        """Begin to send, and return after the first byte, like a browser that was opened."""
        port = int(re.findall(r"127\.0\.0\.1%3A(\d+)%2F&", link)[0])
        visitor = socket.create_connection(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._drip, args=(visitor,))
        self._thread.start()
        return wait_until(lambda: self.sent > 0)

    def _drip(self, visitor: socket.socket) -> None:
        with visitor, contextlib.suppress(OSError):
            while self.sent < self.BYTES:
                visitor.sendall(b"G")
                self.sent += 1
                threading.Event().wait(0.02)

    def gone(self) -> bool:
        """Wait until the visitor was sent away; return False if it sent everything."""
        assert self._thread is not None
        self._thread.join()
        return self.sent < self.BYTES


def test_slow_visitor_delays_neither_the_code_nor_the_end(google: Served) -> None:
    operator = Operator()
    slow = SlowVisitor()
    assert authorize(
        google.client_file,
        google.token_file,
        open_url=lambda link: slow.visit(link) and operator.open(link),
        timeout_seconds=40,
    ).token
    assert slow.sent < slow.BYTES
    operator.done()
    google.token_file.unlink()
    slower = SlowVisitor()
    with pytest.raises(GmailFailed, match="Consent was not given within"):
        authorize(google.client_file, google.token_file, open_url=slower.visit, timeout_seconds=0.2)
    assert slower.sent < slower.BYTES
    assert slow.gone()
    assert slower.gone()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_code_is_not_sent_to_another_address(google: Served, status: int) -> None:
    with ScriptedServer(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as elsewhere:
        google.fake.faults.order(
            Fault(on="POST /token", status=status, headers=(("Location", elsewhere.url),))
        )
        with pytest.raises(GmailFailed, match="redirected the token request") as error:
            ask(google, Operator())
        assert message_of(error)
        assert elsewhere.requests == []


def test_authorize_prints_the_link_when_browser_is_false(google: Served) -> None:
    operator = Operator()
    shown = []

    def say(text: str) -> None:
        shown.append(text)
        operator.open(text.splitlines()[-1])

    authorize(
        google.client_file,
        google.token_file,
        browser=False,
        open_url=never,
        say=say,
        timeout_seconds=40,
    )
    operator.done()
    assert len(shown) == 1
    assert google.token_file.exists()


def test_denied_consent_raises_gmail_failed(google: Served) -> None:
    operator = Operator("deny")
    with pytest.raises(GmailFailed, match="Consent was denied") as error:
        ask(google, operator)
    assert message_of(error)
    assert operator.pages[-1].text == "Consent was denied. You may close this window."
    assert not google.token_file.exists()


def test_consent_that_covers_too_little_is_not_stored(google: Served) -> None:
    scopes = "https://www.googleapis.com/auth/userinfo.email"

    def ask_for_less(_text: str) -> str:  # as Google does when one of several boxes is unchecked
        return Operator().consent(
            re.sub(r"scope=[^&]*", f"scope={quote(scopes)}", shown[0].splitlines()[-1])
        )

    shown: list[str] = []
    with pytest.raises(GmailFailed, match="leave every box checked") as error:
        authorize(
            google.client_file,
            google.token_file,
            browser="paste-back",
            say=shown.append,
            ask=ask_for_less,
        )
    assert message_of(error)
    assert not google.token_file.exists()


def test_consent_times_out(google: Served) -> None:
    with pytest.raises(GmailFailed, match=r"Consent was not given within 0\.2 seconds") as error:
        authorize(
            google.client_file, google.token_file, open_url=lambda _: True, timeout_seconds=0.2
        )
    assert message_of(error)


@pytest.mark.parametrize("answer", [False, webbrowser.Error("no")], ids=["none", "fails"])
def test_missing_browser_is_reported_with_the_alternatives(google: Served, answer: object) -> None:
    def open_url(_link: str) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(GmailFailed, match=r'browser=False .* browser="paste-back"') as error:
        authorize(google.client_file, google.token_file, open_url=open_url)
    assert "No browser" in message_of(error)


def test_port_in_use_is_reported(google: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(GmailFailed, match=f"Port {port} is in use") as error:
            authorize(google.client_file, google.token_file, port=port, open_url=never)
    assert message_of(error)


def test_browser_returns_to_the_given_port(google: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    operator = Operator()
    ask(google, operator, port=port)
    assert f"127.0.0.1%3A{port}%2F" in operator.links[0]


def test_unknown_client_is_reported(google: Served) -> None:
    path = google.client_file
    path.write_text(path.read_text().replace("sandbox-secret", "another"))
    operator = Operator()
    with pytest.raises(
        GmailFailed, match="does not accept the client file's client id or secret"
    ) as error:
        authorize(path, google.token_file, open_url=operator.open, timeout_seconds=40)
    operator.done()
    assert message_of(error)


@pytest.mark.parametrize(
    "fault",
    [Fault(on="POST /token", drop="before"), Fault(on="POST /token", status=503, body={})],
    ids=["drop", "503"],
)
def test_failing_token_endpoint_is_reported(google: Served, fault: Fault) -> None:
    google.fake.faults.order(fault)
    with pytest.raises(
        GmailFailed, match=r"token request to Google failed|Google returned no token"
    ) as error:
        ask(google, Operator())
    assert message_of(error)


# -------------------------------------------------------------------------------------- paste-back


def pasted(google: Served, change: Callable[[str], str], answer: str = "allow") -> Any:
    """Give consent in a browser elsewhere, and paste its address after ``change``."""
    shown: list[str] = []
    return authorize(
        google.client_file,
        google.token_file,
        browser="paste-back",
        open_url=never,
        say=shown.append,
        ask=lambda _: change(Operator(answer).consent(shown[0].splitlines()[-1])),
    )


def test_paste_back_accepts_the_whole_address(google: Served) -> None:
    addresses: list[str] = []
    credentials = pasted(google, lambda address: addresses.append(address) or f"  {address}\n")  # type: ignore[func-returns-value]
    assert addresses[0].startswith("http://localhost:1/?")
    assert credentials.token
    assert stat.S_IMODE(google.token_file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("change", "answer", "problem"),
    [
        (lambda address: address, "deny", "Consent was denied"),
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
            "used before or has expired",
        ),
    ],
    ids=["denied", "older", "no query", "the code only", "nothing", "used"],
)
def test_paste_back_rejects_a_wrong_address(
    google: Served, change: Callable[[str], str], answer: str, problem: str
) -> None:
    with pytest.raises(GmailFailed, match=problem) as error:
        pasted(google, change, answer)
    assert message_of(error)
    assert not google.token_file.exists()


@pytest.mark.parametrize("code", ["\x1b[31mred", "a\nb", "<b>no</b>", "x" * 5000])
def test_error_code_of_the_browser_is_not_shown_unless_it_is_a_word(
    google: Served, code: str
) -> None:
    def change(address: str) -> str:
        return re.sub(r"code=[^&]*", f"error={quote(code)}", address)

    with pytest.raises(GmailFailed, match="Google returned no token") as error:
        pasted(google, change)
    assert code not in message_of(error)


def test_paste_back_without_a_terminal_is_reported(google: Served) -> None:
    def no_terminal(_text: str) -> str:
        raise EOFError

    with pytest.raises(GmailFailed, match="no terminal to read the address from") as error:
        authorize(
            google.client_file,
            google.token_file,
            browser="paste-back",
            say=lambda _: None,
            ask=no_terminal,
        )
    assert message_of(error)


# ----------------------------------------------------------------------------------- without https


def oauthlib_variables(url: str, folder: Path) -> dict[str, str]:
    """Return oauthlib's environment variables while consent is requested at a URL."""
    path = folder / "client.json"
    config = {
        "client_id": "x",
        "client_secret": "y",
        "auth_uri": f"{url}/auth",
        "token_uri": f"{url}/token",
    }
    path.write_text(json.dumps({"installed": config}))
    seen: dict[str, str] = {}

    def inspect(_text: str) -> str:
        seen.update(
            {name: value for name, value in os.environ.items() if name.startswith("OAUTHLIB_")}
        )
        return ""

    with pytest.raises(GmailFailed):
        authorize(
            path, folder / "token.json", browser="paste-back", say=lambda _: None, ask=inspect
        )
    return seen


def test_https_check_is_off_only_for_this_machine_and_only_meanwhile(tmp_path: Path) -> None:
    assert "OAUTHLIB_INSECURE_TRANSPORT" in oauthlib_variables("http://127.0.0.1:9", tmp_path)
    assert oauthlib_variables("https://accounts.example.com", tmp_path) == {
        "OAUTHLIB_RELAX_TOKEN_SCOPE": "1"
    }
    assert [name for name in os.environ if name.startswith("OAUTHLIB_")] == []


# --------------------------------------------------------------------------------- the client file

DESKTOP = {
    "client_id": "i",
    "client_secret": "CANARY",
    "auth_uri": "https://a.example/",
    "token_uri": "https://t.example",
}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no file"),
        ("{CANARY", "is not JSON"),
        ("[]", "is JSON, but not an object"),
        ("{}", "is not an OAuth client"),
        (json.dumps({"web": DESKTOP}), "is for a web application"),
        (json.dumps({"installed": []}), "has no client_id"),
        (json.dumps({"installed": {**DESKTOP, "client_secret": ""}}), "has no client_secret"),
        (
            json.dumps({"installed": {**DESKTOP, "token_uri": "http://t.example/x"}}),
            "http is allowed only for this machine",
        ),
        (
            json.dumps({"installed": {**DESKTOP, "auth_uri": "http://localhost.t.example"}}),
            "http is allowed only for",
        ),
        (
            json.dumps({"installed": {**DESKTOP, "auth_uri": "ftp://t.example"}}),
            "begins with https://",
        ),
    ],
)
def test_unusable_client_file_is_reported_with_its_problem(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    path = tmp_path / "client.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadSetting, match=re.escape(problem)) as error:
        authorize(path, tmp_path / "token.json", open_url=never)
    assert error.value.name == "EVENTLAB_GMAIL_CLIENT"
    assert "CANARY" not in message_of(error)


# ---------------------------------------------------------------------------------- the token file


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("{CANARY", "is not JSON"),
        ("[]", "is JSON, but not an object"),
        ({"refresh_token": None}, None),
        ({"token_uri": "http://example.com/token"}, "http is allowed only for this machine"),
        ({"expiry": "CANARY"}, "is not a token file"),
        ({"expiry": 7}, "is not a token file"),
    ],
)
def test_unusable_token_file_is_reported_with_its_problem(
    google: Served, change: Any, problem: str
) -> None:
    path = stored(google)
    path.write_text(
        change if isinstance(change, str) else json.dumps(json.loads(path.read_text()) | change)
    )
    if problem is None:
        assert load(path).refresh_token is None  # valid until it expires
        return
    with pytest.raises(BadSetting, match=problem) as error:
        load(path)
    assert error.value.name == "EVENTLAB_GMAIL_TOKEN"
    assert "CANARY" not in message_of(error)


def test_missing_or_incomplete_token_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    with pytest.raises(BadSetting, match="give consent first"):
        load(path)
    path.touch(0o600)
    path.write_text('{"token": "x"}')
    with pytest.raises(BadSetting, match="is not a token file"):
        load(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_token_file_that_others_can_open_is_rejected(google: Served, mode: int) -> None:
    path = stored(google)
    path.chmod(mode)
    with pytest.raises(
        BadSetting, match=rf"can be read by others \(mode {mode:04o}\): run chmod 600"
    ) as error:
        load(path)
    assert message_of(error)


def test_expired_token_is_renewed_at_its_own_server_and_saved(google: Served) -> None:
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


def test_token_file_is_replaced_atomically(google: Served) -> None:
    path = stored(google, expired=True)
    before = path.read_text()
    with path.open() as reader:
        load(path).refresh(None)
        assert reader.read() == before  # an open reader still sees the old file
    assert path.read_text() != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_link_to_the_token_file_stays_a_link(google: Served) -> None:
    path = stored(google, expired=True)
    link = path.with_name("link.json")
    link.symlink_to(path)
    load(link).refresh(None)
    assert link.is_symlink()
    assert load(path).valid


def test_renewed_token_that_cannot_be_saved_is_used_and_logged(
    google: Served, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = load(path := stored(google, expired=True))
    path.unlink()
    path.mkdir()
    credentials.refresh(None)
    assert credentials.valid
    assert [record.getMessage() for record in caplog.records] == [
        "Gmail's token was refreshed, but could not be saved: Is a directory"
    ]
    # No partial file is left.
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_save_creates_a_private_folder(google: Served) -> None:
    path = google.folder / "new" / "token.json"
    save(load(stored(google)), path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_consent_and_renewal_use_no_proxy_for_this_machine(
    google: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    ask(google, Operator())
    google.token_file.unlink()
    load(stored(google, expired=True)).refresh(None)
    assert google.fake.tokens.refreshed == 1


# ------------------------------------------------------------------------------------- it is final


def test_revoked_token_raises_consent_required_with_the_remedy(google: Served) -> None:
    path = stored(google, expired=True)
    before = path.read_text()
    google.fake.revoke()
    with pytest.raises(ConsentRequired, match="give consent again") as error:
        authorize(google.client_file, path, open_url=never)
    text = message_of(error)
    # Google does not say which of these it was.
    for cause in ("revoked", "password was changed", "six months", "seven days"):
        assert cause in text
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("body", "final", "problem"),
    [
        ({"error": "invalid_grant", "error_description": "Bad Request"}, True, "seven days"),
        ({"error": "invalid_grant", "error_subtype": "invalid_rapt"}, True, "sign in again"),
        (
            {"error": "invalid_client", "error_description": "CANARY"},
            True,
            "does not recognize the client",
        ),
        ({"error": "deleted_client"}, True, "was deleted"),
        ({"error": "disabled_client"}, True, "is disabled"),
        ({"error": "unauthorized_client"}, True, "another client"),
        ({"error": "invalid_scope"}, True, "box checked"),
        ({"error": "access_denied"}, True, "administrator"),
        ({"error": "admin_policy_enforced"}, True, "administrator"),
        ({"error": "org_internal"}, True, "organization"),
        ({"error": "CANARY"}, False, "for an unknown reason"),
        ({"error": ["CANARY"]}, False, "for an unknown reason"),
        (["CANARY"], False, "token request to Google failed"),
        (None, False, "token request to Google failed"),
        ("CANARY", False, "for an unknown reason"),
    ],
)
def test_each_refresh_error_has_its_message(
    google: Served, body: Any, final: bool, problem: str
) -> None:
    path = stored(google, expired=True)
    google.fake.faults.order(Fault(on="POST /token", status=400, body=body))
    with pytest.raises(GmailFailed, match=problem) as error:
        load(path).refresh(None)
    assert isinstance(error.value, ConsentRequired) is final
    assert "CANARY" not in message_of(error)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="POST /token", times=10, drop="before"),
        Fault(on="POST /token", times=10, status=503, body={"error": "CANARY"}),
        Fault(on="POST /token", times=10, status=302, headers=(("Location", "/revoke"),)),
        Fault(on="POST /token", times=10, status=200, body={}),
        Fault(on="POST /token", times=10, status=200, body="CANARY"),
    ],
    ids=["drop", "503", "redirect", "no token", "not JSON"],
)
def test_unreachable_token_endpoint_does_not_raise_consent_required(
    google: Served, fault: Fault
) -> None:
    path = stored(google, expired=True)
    google.fake.faults.order(fault)
    with pytest.raises(GmailFailed, match="try again later") as error:
        load(path).refresh(None)
    assert not isinstance(error.value, ConsentRequired)
    assert "CANARY" not in message_of(error)
    google.fake.faults.clear()
    load(path).refresh(None)


def test_expired_token_without_a_refresh_token_raises_consent_required(google: Served) -> None:
    path = stored(google, expired=True)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"refresh_token": None}))
    with pytest.raises(ConsentRequired, match="has no refresh token") as error:
        load(path).refresh(None)
    assert message_of(error)
