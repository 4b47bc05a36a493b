"""The CXone client: what it sends, what it retries, and how it reports an unknown outcome."""

from __future__ import annotations

import base64
import json
import logging
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from eventlab.mailroom.cxone import transport
from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.mailroom.cxone.reason import reason_in
from eventlab.mailroom.cxone.settings import AuthMethod, CXoneSettings
from eventlab.mailroom.cxone.token import CXoneTokens
from eventlab.mailroom.cxone.transport import (
    MAX_ATTEMPTS,
    AuthorizationHeader,
    CXoneRequest,
    CXoneTransport,
)
from eventlab.mailroom.errors import (
    BadSetting,
    MailroomError,
    WorkItemInDoubt,
    WorkItemRefused,
    WorkItemUnsent,
)
from eventlab.mailroom.variables import VARIABLES
from eventlab.sandbox.cxone.app import FakeCXone, create_fake_cxone
from eventlab.sandbox.cxone.auth import FakeCXoneCredentials
from eventlab.sandbox.faults import Fault
from eventlab.sandbox.serving import Serving
from tests.support.scripted_server import ScriptedServer

AUTH_METHODS: tuple[AuthMethod, ...] = get_args(AuthMethod)
ITEMS = "/interactions/work-items"
MAIL = {"work_item_id": "gmail:18f1a2", "payload": "Hello", "sender": "joe+tag@example.com"}
SOON = timedelta(seconds=20)


@pytest.fixture
def fake() -> FakeCXone:
    return create_fake_cxone()


@pytest.fixture
def url(fake: FakeCXone) -> Iterator[str]:
    with Serving(fake.app) as serving:
        yield serving.url


@pytest.fixture
def pauses() -> list[float]:
    """The seconds that the clients of a test would have slept."""
    return []


@pytest.fixture
def client(fake: FakeCXone, url: str, pauses: list[float]) -> Iterator[Callable[..., CXoneClient]]:
    """Return a function that creates clients of the fake CXone which never sleep."""
    with ExitStack() as opened:

        def make(**options: Any) -> CXoneClient:
            changes = options.pop("settings", {})
            auth = changes.pop("auth", "oidc")
            settings = replace(fake.settings(url, auth=auth), **changes)
            return opened.enter_context(CXoneClient(settings, sleep=pauses.append, **options))

        yield make


def posts(fake: FakeCXone) -> int:
    return fake.faults.seen(f"POST /inContactAPI/services/v30.0{ITEMS}")


def after(seconds: float | str) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(seconds)),)


# --------------------------------------------------------------------------- what a response means

ACCEPTED, UNSENT, REFUSED, IN_DOUBT = "accepted", WorkItemUnsent, WorkItemRefused, WorkItemInDoubt

#: fault: the outcome of the call, the POSTs that the server has seen, the items it has accepted
OUTCOMES: dict[str, tuple[Fault | None, object, int, int]] = {
    "202": (None, ACCEPTED, 1, 1),
    "200": (Fault(on=ITEMS, status=200, body={"contactId": 1}), ACCEPTED, 1, 0),
    "201": (Fault(on=ITEMS, status=201, body={"contactId": 1}), ACCEPTED, 1, 0),
    "another success": (Fault(on=ITEMS, status=203), IN_DOUBT, 1, 0),
    **{
        f"{status}": (Fault(on=ITEMS, status=status), REFUSED, 1, 0)
        for status in (400, 402, 403, 404, 405, 409, 410, 413, 415, 422, 431, 451)
    },
    "413 with Retry-After": (Fault(on=ITEMS, status=413, headers=after(1)), REFUSED, 1, 0),
    "408": (Fault(on=ITEMS, status=408), IN_DOUBT, 1, 0),
    "401 once": (Fault(on=ITEMS, status=401), ACCEPTED, 2, 1),
    "401 twice": (Fault(on=ITEMS, status=401, times=2), UNSENT, 2, 0),
    "429 once": (Fault(on=ITEMS, status=429), ACCEPTED, 2, 1),
    "429 once with Retry-After": (Fault(on=ITEMS, status=429, headers=after(1)), ACCEPTED, 2, 1),
    "429 three times": (Fault(on=ITEMS, status=429, times=3), ACCEPTED, 4, 1),
    "429 forever": (Fault(on=ITEMS, status=429, times=99), UNSENT, MAX_ATTEMPTS, 0),
    "503 once with Retry-After": (Fault(on=ITEMS, status=503, headers=after(1)), ACCEPTED, 2, 1),
    "503 once with an unreadable Retry-After": (
        Fault(on=ITEMS, status=503, headers=after("soon")),
        ACCEPTED,
        2,
        1,
    ),
    "503 forever with Retry-After": (
        Fault(on=ITEMS, status=503, headers=after(1), times=99),
        UNSENT,
        MAX_ATTEMPTS,
        0,
    ),
    "503 without Retry-After": (Fault(on=ITEMS, status=503), IN_DOUBT, 1, 0),
    **{
        f"{status}": (Fault(on=ITEMS, status=status), IN_DOUBT, 1, 0)
        for status in (500, 501, 502, 504, 507)
    },
    "500 with Retry-After": (Fault(on=ITEMS, status=500, headers=after(1)), IN_DOUBT, 1, 0),
    **{
        f"{status} elsewhere": (
            Fault(on=ITEMS, status=status, headers=(("Location", "/x"),)),
            UNSENT,
            1,
            0,
        )
        for status in (301, 307, 308)
    },
    **{
        f"{status} elsewhere": (
            Fault(on=ITEMS, status=status, headers=(("Location", "http://["),)),
            IN_DOUBT,
            1,
            0,
        )
        for status in (302, 303)
    },
    "connection closed before": (Fault(on=ITEMS, drop="before"), IN_DOUBT, 1, 0),
    "connection closed after": (Fault(on=ITEMS, drop="after"), IN_DOUBT, 1, 1),
    "no response in time": (Fault(on=ITEMS, delay=12, drop="before"), IN_DOUBT, 1, 0),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_post_reports_the_true_outcome(
    name: str, fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    fault, outcome, seen, accepted = OUTCOMES[name]
    cxone = client(timeout=(5, 6) if name == "no response in time" else (5, 30))
    cxone.sign_in()
    fake.faults.order(*filter(None, [fault]))
    if outcome is ACCEPTED:
        assert cxone.post_work_item(**MAIL) is not None
    else:
        with pytest.raises(MailroomError) as raised:
            cxone.post_work_item(**MAIL)
        assert type(raised.value) is outcome
    assert (posts(fake), len(fake.work_items)) == (seen, accepted)


def test_rejected_work_item_has_a_status_and_a_reason(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    with pytest.raises(WorkItemRefused) as raised:
        client(settings={"point_of_contact": "unknown"}).post_work_item(**MAIL)
    assert (raised.value.status, raised.value.reason) == (400, "Point of contact is not valid")


def test_post_returns_the_contact_id_with_all_its_digits(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    assert client().post_work_item(**MAIL) == "412345678900000001" == fake.work_items[0].contact_id


def test_post_returns_none_without_a_contact_id(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    fake.empty_answers = True
    assert client().post_work_item(**MAIL) is None
    assert len(fake.work_items) == 1


# ----------------------------------------------------------------- what no HTTP library would send

TOKEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


def scripted(answer: Callable[[], bytes | Iterator[bytes]]) -> ScriptedServer:
    """Return a server that issues a legacy token and answers a work item with ``answer``."""
    server: ScriptedServer

    def script(request: bytes) -> bytes | Iterator[bytes]:
        if b"AuthorizationServer" in request:
            return (
                TOKEN
                + json.dumps(
                    {"access_token": "t", "resource_server_base_uri": f"{server.url}/api/"}
                ).encode()
            )
        return answer()

    server = ScriptedServer(script)
    return server


def legacy(url: str) -> CXoneSettings:
    return CXoneSettings(
        auth="legacy", url=url, key="app@vendor", secret="canary-key", point_of_contact="mail"
    )


def flood() -> Iterator[bytes]:
    yield b"HTTP/1.1 202 Accepted\r\n\r\n"
    while True:
        yield b" " * 65536


OK = b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%s"
NESTED = b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
BODIES: dict[str, tuple[Callable[[], bytes | Iterator[bytes]], str | None]] = {
    "a number": (lambda: OK % (33, b'{"contactId": 123456789012345678}'), "123456789012345678"),
    "a text": (lambda: OK % (17, b'{"contactId":"7"}'), "7"),
    "other fields": (lambda: OK % (25, b'{"a":[1],"contactId":"7"}'), "7"),
    "null": (lambda: OK % (18, b'{"contactId":null}'), None),
    "a fraction": (lambda: OK % (19, b'{"contactId":1.5e9}'), None),
    "a list": (lambda: OK % (3, b"[1]"), None),
    "not JSON": (lambda: OK % (27, b"No known way to render data"), None),
    "not UTF-8": (lambda: OK % (17, b'{"contactId":"\xff"}'), None),
    "nested deeply": (lambda: OK % (len(NESTED), NESTED), None),
    "broken off": (lambda: b'HTTP/1.1 202 Accepted\r\nContent-Length: 99\r\n\r\n{"contactI', None),
    "not gzip, against its header": (
        lambda: b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        None,
    ),
    "endless": (flood, None),
    "none, with headers broken off": (lambda: b"HTTP/1.1 202 Accepted\r\nContent-Len", None),
}


@pytest.mark.parametrize("name", BODIES)
def test_accepted_work_item_is_accepted_whatever_the_body(name: str) -> None:
    answer, contact_id = BODIES[name]
    with scripted(answer) as server, CXoneClient(legacy(server.url)) as cxone:
        assert cxone.post_work_item(**MAIL) == contact_id


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 20", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc no\r\n\r\n"],
)
def test_broken_response_leaves_the_work_item_in_doubt(answer: bytes) -> None:
    with scripted(lambda: answer) as server, CXoneClient(legacy(server.url)) as cxone:
        with pytest.raises(WorkItemInDoubt):
            cxone.post_work_item(**MAIL)
        assert len(server.requests) == 2  # the token, and the work item once


# ------------------------------------------------------------------------------------- not reached


def test_refused_connection_is_retried_and_reported_as_unsent(
    fake: FakeCXone, pauses: list[float]
) -> None:
    with Serving(fake.app) as serving:
        cxone = CXoneClient(fake.settings(serving.url), sleep=pauses.append)
        cxone.sign_in()
    with cxone, pytest.raises(WorkItemUnsent, match="could not be reached"):
        cxone.post_work_item(**MAIL)
    assert (posts(fake), len(pauses)) == (0, MAX_ATTEMPTS - 1)


def test_connect_timeout_is_retried_and_reported_as_unsent(pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as busy, ExitStack() as callers:
        for _ in range(4):  # fill its backlog, so that the next caller waits
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            with suppress(BlockingIOError):
                caller.connect(busy.getsockname())
        url = f"http://127.0.0.1:{busy.getsockname()[1]}"
        cxone = callers.enter_context(
            CXoneClient(legacy(url), timeout=(0.2, 30), sleep=pauses.append)
        )
        with pytest.raises(WorkItemUnsent, match="could not be reached"):
            cxone.post_work_item(**MAIL)
    assert len(pauses) == MAX_ATTEMPTS - 1


def test_server_without_a_trusted_certificate_gets_nothing(
    tmp_path: Path, pauses: list[float]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard: list[bytes] = []
        thread = threading.Thread(
            target=_impostor, args=(listener, _certificate(tmp_path), heard), daemon=True
        )
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with (
            CXoneClient(legacy(url), sleep=pauses.append) as cxone,
            pytest.raises(WorkItemUnsent, match="certificate"),
        ):
            cxone.post_work_item(**MAIL)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert heard == []


def _impostor(listener: socket.socket, context: ssl.SSLContext, heard: list[bytes]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, suppress(OSError), context.wrap_socket(client, server_side=True) as wrapped:
            if data := wrapped.recv(1000):
                heard.append(data)


def _certificate(folder: Path) -> ssl.SSLContext:
    """Return the TLS context of a server with a self-signed certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    built = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    )
    built = (
        built.serial_number(1).not_valid_before(now - SOON).not_valid_after(now + timedelta(days=1))
    )
    form = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "impostor.pem"
    signed = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    file.write_bytes(key.private_bytes(*form) + signed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


# ----------------------------------------------------------------------------------------- retries


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        (after(7), 7.0),
        (after(3600), 30.0),
        (after("9" * 5000), 30.0),
        (after(format_datetime(datetime.now(UTC) - SOON, usegmt=True)), 0.0),
        (after("Fri, 31 Dec 9999 23:59:59 GMT"), 30.0),
    ],
)
def test_retry_after_is_waited_for_up_to_30_seconds(
    asked: tuple[tuple[str, str], ...],
    waited: float,
    fake: FakeCXone,
    client: Callable[..., CXoneClient],
    pauses: list[float],
) -> None:
    cxone = client()
    fake.faults.order(Fault(on=ITEMS, status=429, headers=asked))
    assert cxone.post_work_item(**MAIL)
    assert pauses == [waited]


def test_backoff_grows_with_jitter_without_a_retry_after(
    fake: FakeCXone, client: Callable[..., CXoneClient], pauses: list[float]
) -> None:
    fake.faults.order(Fault(on=ITEMS, status=429, times=3))
    assert client().post_work_item(**MAIL)
    assert [0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses)] == [True] * 3


def test_nothing_is_sent_after_the_total_timeout(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    with pytest.raises(WorkItemUnsent):
        client(total_timeout=0).post_work_item(**MAIL)
    assert fake.faults.seen("") == 0


def test_wait_that_would_exceed_the_total_timeout_does_not_start(
    fake: FakeCXone, client: Callable[..., CXoneClient], pauses: list[float]
) -> None:
    fake.faults.order(Fault(on=ITEMS, status=429, headers=after(25)))
    with pytest.raises(WorkItemUnsent, match="busy"):
        client(total_timeout=20).post_work_item(**MAIL)
    assert (posts(fake), pauses) == (1, [])


def test_wait_that_exceeded_the_total_timeout_is_not_followed_by_a_post(
    fake: FakeCXone, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def clock() -> float:
        return time.monotonic() + 40 * len(slept)  # each wait takes longer than it should

    monkeypatch.setattr(transport, "time", SimpleNamespace(monotonic=clock))
    with CXoneClient(fake.settings(url), total_timeout=30, sleep=slept.append) as cxone:
        cxone.sign_in()
        fake.faults.order(Fault(on=ITEMS, status=429, headers=after(1), times=9))
        with pytest.raises(WorkItemUnsent):
            cxone.post_work_item(**MAIL)
    assert (posts(fake), len(slept)) == (1, 1)


def test_max_call_seconds_exceeds_the_total_timeout_and_the_timeouts(
    client: Callable[..., CXoneClient],
) -> None:
    assert client(timeout=(5, 30), total_timeout=90).max_call_seconds > 90 + 35


# ------------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize("auth", AUTH_METHODS)
def test_sign_in_works_with_any_secret(auth: AuthMethod) -> None:
    odd = "S&e=c+r%e/t é ===="
    known = FakeCXoneCredentials(
        application="app@vendor",
        application_key=odd,
        key="k+&%é====",
        secret=odd,
        client_secret=odd,
    )
    fake = create_fake_cxone(credentials=known)
    with (
        Serving(fake.app) as serving,
        CXoneClient(fake.settings(serving.url, auth=auth)) as cxone,
    ):
        assert cxone.post_work_item(**MAIL)


@pytest.mark.parametrize("auth", AUTH_METHODS)
def test_wrong_secret_is_reported(
    auth: AuthMethod, fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    with pytest.raises(
        WorkItemUnsent, match=r"no token: CXone responded with 40[01]: .*EVENTLAB_CXONE_"
    ) as raised:
        client(settings={"auth": auth, "secret": "canary-wrong"}).post_work_item(**MAIL)
    assert "canary" not in str(raised.value)
    assert posts(fake) == 0


def test_wrong_client_is_reported(client: Callable[..., CXoneClient]) -> None:
    with pytest.raises(WorkItemUnsent, match="Client authentication failed"):
        client(settings={"client_secret": "wrong"}).post_work_item(**MAIL)


@pytest.mark.parametrize("auth", AUTH_METHODS)
def test_token_is_shared_by_mails_and_threads(
    auth: AuthMethod, fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    cxone = client(settings={"auth": auth})
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: cxone.post_work_item(**MAIL), range(24)))
    assert (len(set(ids)), fake.issuer.issued) == (24, 1)


@pytest.mark.parametrize("auth", AUTH_METHODS)
def test_token_that_expired_early_is_replaced_once(
    auth: AuthMethod, fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    cxone = client(settings={"auth": auth})
    cxone.post_work_item(**MAIL)
    fake.expire_tokens()
    assert cxone.post_work_item(**MAIL)
    assert (fake.issuer.issued, len(fake.work_items)) == (2, 2)


def test_two_rejected_tokens_are_not_used_again(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    cxone = client()
    fake.faults.order(Fault(on=ITEMS, status=401, times=2))
    with pytest.raises(WorkItemUnsent, match="401"):
        cxone.post_work_item(**MAIL)
    assert cxone.post_work_item(**MAIL)
    assert fake.issuer.issued == 3


@pytest.mark.parametrize(("life", "used"), [(3600, 3240), (600, 540), (300, 240), (70, 10)])
def test_token_is_replaced_before_it_expires(
    life: int, used: int, fake: FakeCXone, url: str
) -> None:
    fake.issuer.seconds = life
    with CXoneTransport(timeout=(5, 30)) as transport:
        before = time.monotonic()
        token = CXoneTokens(fake.settings(url), transport).get(deadline=before + 60)
        assert before + used <= token.expires_at <= time.monotonic() + used


def test_token_close_to_its_expiry_is_fetched_again(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    cxone = client()
    fake.issuer.seconds = 60  # from the start within the expiry margin
    cxone.post_work_item(**MAIL)
    cxone.post_work_item(**MAIL)
    assert fake.issuer.issued == 2


def test_drop_keeps_a_newer_token(fake: FakeCXone, url: str) -> None:
    with CXoneTransport(timeout=(5, 30)) as transport:
        tokens = CXoneTokens(fake.settings(url), transport)
        deadline = time.monotonic() + 60
        first = tokens.get(deadline=deadline)
        tokens.drop(first)
        second = tokens.get(deadline=deadline)
        tokens.drop(first)
        assert tokens.get(deadline=deadline) is second is not first


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 503}, {"status": 429}, {"drop": "before"}]
)
@pytest.mark.parametrize("on", ["/auth/token", "openid-configuration", "cxone-configuration"])
def test_token_requests_are_retried_after_any_failure(
    on: str, fault: dict[str, Any], fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    fake.faults.order(Fault(on=on, times=2, **fault))
    assert client().post_work_item(**MAIL)
    fake.expire_tokens()
    fake.faults.order(Fault(on=on, times=99, **fault))
    with pytest.raises(WorkItemUnsent):
        client().post_work_item(**MAIL)
    assert len(fake.work_items) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"access_token": None},
        {"access_token": "canary\r\nX: y"},
        {"access_token": "canary é"},
        {"access_token": "canary", "resource_server_base_uri": "http://example.com/"},
        {"access_token": "canary", "resource_server_base_uri": "ftp://127.0.0.1/"},
        {"access_token": "canary", "resource_server_base_uri": "https://joe:x@127.0.0.1/"},
        {"access_token": "canary", "resource_server_base_uri": "nonsense"},
        {"access_token": "canary", "expires_in": "soon"},
    ],
)
def test_unusable_token_response_is_reported(
    body: object, fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    fake.faults.order(Fault(on="/authentication/", status=200, body=body))
    with pytest.raises(WorkItemUnsent) as raised:
        client(settings={"auth": "accesskey"}).post_work_item(**MAIL)
    assert "canary" not in "".join(traceback.format_exception(raised.value))
    assert posts(fake) == 0


def test_remote_authority_cannot_redirect_to_this_machine() -> None:
    settings = legacy("https://api.incontact.com")
    with (
        CXoneTransport(timeout=(5, 30)) as transport,
        pytest.raises(WorkItemUnsent, match="on this machine"),
    ):
        CXoneTokens(settings, transport)._address("http://127.0.0.1:8080/")


def test_repr_of_token_and_request_hides_secrets(fake: FakeCXone, url: str) -> None:
    with CXoneTransport(timeout=(5, 30)) as transport:
        token = CXoneTokens(fake.settings(url), transport).get(deadline=time.monotonic() + 60)
    call = CXoneRequest(
        method="POST",
        url="https://example.com",
        auth=AuthorizationHeader("Bearer x"),
        data=b"canary",
    )
    assert token.value not in repr(token) + repr(token.auth)
    assert "canary" not in repr(call)


# ------------------------------------------------------------------------------------- on the wire


def heard(settings: dict[str, Any], **mail: Any) -> tuple[str, dict[str, str], bytes]:
    """Return the request of a work item: first line, headers in lower case, body."""
    with scripted(lambda: OK % (2, b"{}")) as server:
        known = {
            "auth": "legacy",
            "url": server.url,
            "key": "k",
            "secret": "s",
            "point_of_contact": "mail",
        }
        with CXoneClient(CXoneSettings(**{**known, **settings})) as cxone:
            cxone.post_work_item(**{**MAIL, **mail})
    head, _, body = server.requests[1].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return (
        first,
        {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)},
        body,
    )


def test_work_item_is_sent_like_the_original() -> None:
    first, headers, body = heard({}, payload="日本語", sender="joe+tag@example.com")
    assert first == "POST /api/services/v30.0/interactions/work-items HTTP/1.1"
    assert json.loads(body) == {
        "pointOfContact": "mail",
        "workItemId": "gmail:18f1a2",
        "workItemPayload": "日本語",
        "workItemType": "email",
        "from": "joe+tag@example.com",
    }
    assert "日本語".encode() in body
    assert headers["accept"] == "application/json"
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["authorization"] == "Bearer t"


def test_legacy_sign_in_is_sent_like_the_original() -> None:
    with scripted(lambda: OK % (2, b"{}")) as server, CXoneClient(legacy(server.url)) as cxone:
        cxone.sign_in()
    [request] = server.requests
    assert request.startswith(b"POST /InContactAuthorizationServer/Token HTTP/1.1\r\n")
    assert (
        b"Authorization: basic " + base64.b64encode(b"app@vendor:canary-key") + b"\r\n" in request
    )
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == {"grant_type": "client_credentials"}


def test_only_the_point_of_contact_may_be_in_the_query() -> None:
    first, _, body = heard({"where": "query", "point_of_contact": "mail & more"}, payload="canary")
    assert (
        first
        == "POST /api/services/v30.0/interactions/work-items?pointOfContact=mail+%26+more HTTP/1.1"
    )
    assert "pointOfContact" not in json.loads(body)
    assert json.loads(body)["workItemPayload"] == "canary"


def test_version_and_work_item_type_are_sent_as_set() -> None:
    first, _, body = heard({"version": "v13.0"}, work_item_type="email-auto")
    assert "/services/v13.0/" in first
    assert json.loads(body)["workItemType"] == "email-auto"


def test_work_item_without_a_sender_has_no_from_field() -> None:
    assert "from" not in json.loads(heard({}, sender="")[2])


def test_lone_surrogate_is_sent_as_a_question_mark() -> None:
    assert json.loads(heard({}, payload="a\ud800b")[2])["workItemPayload"] == "a?b"


# --------------------------------------------------------------------------- proxies and redirects


def test_neither_proxy_nor_netrc_is_used_for_this_machine(
    client: Callable[..., CXoneClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login joe password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert client().post_work_item(**MAIL)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A proxy for all hosts that rejects every connection."""
    with ScriptedServer(lambda _: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as server:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, server.url)
            monkeypatch.setenv(name.upper(), server.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


def test_rejecting_proxy_gets_no_credentials(proxy: ScriptedServer, pauses: list[float]) -> None:
    settings = legacy("https://api.example.com")
    with (
        CXoneClient(settings, sleep=pauses.append) as cxone,
        pytest.raises(WorkItemUnsent, match="proxy"),
    ):
        cxone.post_work_item(**MAIL)
    assert proxy.requests
    for request in proxy.requests:
        assert request.startswith(b"CONNECT api.example.com:443 ")
        assert b"uthorization" not in request


def test_netrc_does_not_replace_the_authorization_for_a_remote_host(
    proxy: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine api.example.com login joe password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    deadline = time.monotonic() + 60
    with CXoneTransport(timeout=(5, 30)) as transport:  # http, so that the proxy sees the request
        transport.send(
            CXoneRequest(
                method="GET", url="http://api.example.com/", auth=AuthorizationHeader("Bearer mine")
            ),
            deadline=deadline,
        )
        transport.send(CXoneRequest(method="GET", url="http://api.example.com/"), deadline=deadline)
    assert b"\r\nAuthorization: Bearer mine\r\n" in proxy.requests[0]
    assert b"uthorization" not in proxy.requests[1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_do_not_get_the_token(
    status: int, fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    with ScriptedServer(lambda _: OK % (2, b"{}")) as elsewhere:
        cxone = client()
        cxone.sign_in()
        for on in (ITEMS, "/auth/token"):
            fake.faults.order(Fault(on=on, status=status, headers=(("Location", elsewhere.url),)))
            with pytest.raises(MailroomError):
                cxone.post_work_item(**MAIL)
            fake.expire_tokens()
        assert elsewhere.requests == []


# ----------------------------------------------------------------------------------------- reasons


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({"icStatusDescription": "No such skill"}, b'{"error": "other"}', "No such skill"),
        (
            {"icStatusDescription": " "},
            b'{"error": "invalid_grant", "error_description": "The key"}',
            "The key",
        ),
        ({}, b'{"errorDescription": "So it is"}', "So it is"),
        ({}, b'{"error": {"code": 1}, "message": "Too late"}', "Too late"),
        ({}, b'{"error_description": "", "error": "invalid_grant"}', "invalid_grant"),
        ({}, b"<html>Bad Gateway</html>", ""),
        ({}, b'["error"]', ""),
        ({}, b"\xff\xfe", ""),
        ({}, b'{"error": ' + b"[" * 20_000, ""),
        ({"icStatusDescription": "a\x1b[31m\x07b\r\n c\u2028d\u202ee"}, b"", "a [31m b c d e"),
        ({"icStatusDescription": "M\u00c3\u00bcll"}, b"", "Müll"),
        ({"icStatusDescription": "M\u00fcll"}, b"", "Müll"),
        ({"icStatusDescription": "x" * 500}, b"", "x" * 199 + "…"),
    ],
)
def test_reason_is_short_and_on_one_line(headers: dict[str, str], body: bytes, reason: str) -> None:
    assert reason_in(headers, body) == reason


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Invalid: 'Dear all, the word is canary'", "Invalid: '…'"),
        ("Invalid: the word is can", "Invalid:…"),
        ("Invalid: DEAR ALL, THE", "Invalid: …"),
        ("Invalid: Dear all,\r\n the word", "Invalid: …"),
        (r"Invalid: Gr\u00fc\u00dfe aus der", "Invalid: …"),
        ("Invalid: joe@example.com is no address", "Invalid: … is no address"),
        ("/x?from=joe%40example.com", "/x?from=…"),
        ("Bad token eyJhbGciOi.eyJ0ZW5h-x.Zm9v_: no", "Bad token …: no"),
        ("Nothing of it is here", "Nothing of it is here"),
    ],
)
def test_reason_hides_what_was_sent(text: str, shown: str) -> None:
    payload = "Dear all,\nthe word is canary\nGrüße aus der Ferne"
    assert (
        reason_in({"icStatusDescription": text}, b"", sent=[payload, "joe@example.com", ""])
        == shown
    )


def test_logs_and_errors_hold_no_secret_token_or_mail(
    fake: FakeCXone, url: str, caplog: pytest.LogCaptureFixture, pauses: list[float]
) -> None:
    caplog.set_level(logging.DEBUG)
    canaries = dict.fromkeys(("key", "secret", "client", "client_secret", "application_key"), "")
    known = FakeCXoneCredentials(
        **{name: f"canary-{name}-{number}" for number, name in enumerate(canaries)}
    )
    fake = create_fake_cxone(credentials=known)
    mail = {
        "work_item_id": "gmail:1",
        "payload": "canary-payload\nof a mail",
        "sender": "canary-sender@example.com",
    }
    shown: list[str] = []
    with Serving(fake.app) as serving:
        for auth in AUTH_METHODS:
            settings = fake.settings(serving.url, auth=auth)
            with (
                CXoneClient(settings, sleep=pauses.append) as cxone,
                CXoneClient(settings, timeout=(5, 1), sleep=pauses.append) as hasty,
            ):
                cxone.sign_in()
                secrets = " ".join(
                    [*fake.issuer._valid, settings.key, settings.secret, settings.client_secret]
                )
                rejected: dict[str, Any] = {"body": {"error": f"no: {secrets}"}}
                echoed = _echo(f"{secrets} {mail['payload']} {mail['sender']}")
                for fault in (
                    *(Fault(on=ITEMS, status=status, **echoed) for status in (400, 403, 500, 503)),
                    *(Fault(on=ITEMS, status=status, body=echoed["body"]) for status in (400, 302)),
                    Fault(on=ITEMS, status=429, times=MAX_ATTEMPTS, **echoed),
                    Fault(on=ITEMS, status=401, times=2, **echoed),
                    Fault(on=ITEMS, drop="after"),
                    Fault(on=ITEMS, delay=2, drop="before"),
                    Fault(on="oken", status=400, **rejected),
                    Fault(on="oken", status=200, body={"access_token": f"{settings.key}\n"}),
                ):
                    if "oken" in fault.on:
                        fake.expire_tokens()
                    fake.faults.order(fault)
                    with pytest.raises(MailroomError) as raised:
                        (hasty if fault.delay else cxone).post_work_item(**mail)
                    shown += traceback.format_exception(raised.value)
                    shown += [repr(raised.value), str(raised.value.__dict__)]
                    fake.faults.clear()
                shown += [repr(settings), repr(cxone.__dict__), repr(hasty.__dict__)]
                assert cxone.post_work_item(**mail)
    everything = "\n".join([*shown, caplog.text])
    assert "urllib3" in caplog.text, "the library's own log is checked too"
    basic = [base64.b64encode(f"{a}:{b}".encode()).decode() for a in canaries for b in canaries]
    assert [word for word in ("canary", "Bearer", "eyJ", *basic) if word in everything] == []


def _echo(text: str) -> dict[str, Any]:
    """Return a fault whose response repeats a text in a header and in its body."""
    return {
        "headers": (("icStatusDescription", text.replace("\n", " ")),),
        "body": {"message": text},
    }


# ---------------------------------------------------------------------------------------- settings

OIDC = {
    "EVENTLAB_CXONE_KEY": "canary-key====",
    "EVENTLAB_CXONE_SECRET": "canary-secret====",
    "EVENTLAB_CXONE_CLIENT": "canary-client",
    "EVENTLAB_CXONE_CLIENT_SECRET": "canary-client-secret",
    "EVENTLAB_CXONE_POC": "mail",
}


def test_settings_are_read_from_the_environment() -> None:
    settings = CXoneSettings.from_environment(
        {**OIDC, "EVENTLAB_CXONE_POC": " mail\n", "OTHER": "x"}
    )
    assert settings == CXoneSettings(
        auth="oidc",
        url="https://cxone.niceincontact.com",
        key="canary-key====",
        secret="canary-secret====",
        client="canary-client",
        client_secret="canary-client-secret",
        point_of_contact="mail",
        version="v30.0",
        where="body",
    )


def test_all_settings_can_be_set() -> None:
    given = {
        "AUTH": "legacy",
        "URL": "http://127.0.0.1:8080/",
        "KEY": "app@vendor",
        "SECRET": "s",
        "POC": "mail",
    }
    given |= {"CLIENT": "c", "CLIENT_SECRET": "d", "VERSION": "13.0", "WHERE": "query"}
    assert {f"EVENTLAB_CXONE_{name}" for name in given} == {
        name for name in VARIABLES if "_CXONE_" in name
    }
    settings = CXoneSettings.from_environment(
        {f"EVENTLAB_CXONE_{name}": value for name, value in given.items()}
    )
    assert (settings.auth, settings.url, settings.version) == (
        "legacy",
        "http://127.0.0.1:8080",
        "v13.0",
    )
    assert (settings.key, settings.client, settings.where) == ("app@vendor", "c", "query")


def test_repr_of_settings_hides_secrets() -> None:
    shown = repr(CXoneSettings.from_environment(OIDC))
    assert "canary" not in shown
    assert "https://cxone.niceincontact.com" in shown


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        *((name, {name: ""}) for name in OIDC),
        *((name, {name: "a\x00b"}) for name in OIDC),
        ("EVENTLAB_CXONE_SECRET", {"EVENTLAB_CXONE_SECRET": "\udcff"}),
        ("EVENTLAB_CXONE_AUTH", {"EVENTLAB_CXONE_AUTH": "basic"}),
        ("EVENTLAB_CXONE_URL", {"EVENTLAB_CXONE_AUTH": "accesskey"}),
        ("EVENTLAB_CXONE_URL", {"EVENTLAB_CXONE_URL": "http://cxone.niceincontact.com"}),
        ("EVENTLAB_CXONE_URL", {"EVENTLAB_CXONE_URL": "http://127.0.0.1.example.com"}),
        ("EVENTLAB_CXONE_URL", {"EVENTLAB_CXONE_URL": "http://127.0.0.1@example.com"}),
        ("EVENTLAB_CXONE_URL", {"EVENTLAB_CXONE_URL": "cxone.niceincontact.com"}),
        ("EVENTLAB_CXONE_URL", {"EVENTLAB_CXONE_URL": "https://cxone.niceincontact.com:x"}),
        ("EVENTLAB_CXONE_URL", {"EVENTLAB_CXONE_URL": "https://[cxone.niceincontact.com"}),
        ("EVENTLAB_CXONE_VERSION", {"EVENTLAB_CXONE_VERSION": "latest"}),
        ("EVENTLAB_CXONE_WHERE", {"EVENTLAB_CXONE_WHERE": "header"}),
        ("EVENTLAB_CXONE_KEY", {"EVENTLAB_CXONE_AUTH": "legacy", "EVENTLAB_CXONE_KEY": "canary:x"}),
    ],
)
def test_unusable_setting_is_reported_by_name(name: str, changed: dict[str, str]) -> None:
    with pytest.raises(BadSetting) as raised:
        CXoneSettings.from_environment({**OIDC, **changed})
    assert raised.value.name == name
    assert str(raised.value).startswith(f"{name}: ")
    assert "canary" not in str(raised.value)


def test_legacy_and_accesskey_need_no_client() -> None:
    env = {name: value for name, value in OIDC.items() if "CLIENT" not in name}
    for auth in ("legacy", "accesskey"):
        url = "https://na1.nice-incontact.com"
        settings = CXoneSettings.from_environment(
            {**env, "EVENTLAB_CXONE_AUTH": auth, "EVENTLAB_CXONE_URL": url}
        )
        assert settings.auth == auth
