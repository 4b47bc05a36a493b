"""The client of CXone: what it sends, what it sends again, and what it says of what it does not know."""

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
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.mailroom.cxone.reason import reason_in
from eventlab.mailroom.cxone.settings import CXoneSettings, Style
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

STYLES: tuple[Style, ...] = get_args(Style)
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
    """What the clients of a test would have waited."""
    return []


@pytest.fixture
def client(fake: FakeCXone, url: str, pauses: list[float]) -> Iterator[Callable[..., CXoneClient]]:
    """Makes clients of the stand-in that do not really pause."""
    with ExitStack() as opened:

        def make(**options: Any) -> CXoneClient:
            settings = fake.settings(url, **options.pop("settings", {}))
            return opened.enter_context(CXoneClient(settings, sleep=pauses.append, **options))

        yield make


def posts(fake: FakeCXone) -> int:
    return fake.faults.seen(f"POST /inContactAPI/services/v30.0{ITEMS}")


def after(seconds: float | str) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(seconds)),)


# ---------------------------------------------------------------------------- what an answer means

TAKEN, UNSENT, REFUSED, IN_DOUBT = "taken", WorkItemUnsent, WorkItemRefused, WorkItemInDoubt

#: fault: what the item is said to be, how many POSTs the server has seen, how many items it has taken
OUTCOMES: dict[str, tuple[Fault | None, object, int, int]] = {
    "202": (None, TAKEN, 1, 1),
    "200": (Fault(on=ITEMS, status=200, body={"contactId": 1}), TAKEN, 1, 0),
    "201": (Fault(on=ITEMS, status=201, body={"contactId": 1}), TAKEN, 1, 0),
    "another success": (Fault(on=ITEMS, status=203), IN_DOUBT, 1, 0),
    **{
        f"{status}": (Fault(on=ITEMS, status=status), REFUSED, 1, 0)
        for status in (400, 402, 403, 404, 405, 409, 410, 413, 415, 422, 431, 451)
    },
    "413 that says when": (Fault(on=ITEMS, status=413, headers=after(1)), REFUSED, 1, 0),
    "408": (Fault(on=ITEMS, status=408), IN_DOUBT, 1, 0),
    "401 once": (Fault(on=ITEMS, status=401), TAKEN, 2, 1),
    "401 twice": (Fault(on=ITEMS, status=401, times=2), UNSENT, 2, 0),
    "429 once": (Fault(on=ITEMS, status=429), TAKEN, 2, 1),
    "429 once, saying when": (Fault(on=ITEMS, status=429, headers=after(1)), TAKEN, 2, 1),
    "429 three times": (Fault(on=ITEMS, status=429, times=3), TAKEN, 4, 1),
    "429 for ever": (Fault(on=ITEMS, status=429, times=99), UNSENT, MAX_ATTEMPTS, 0),
    "503 once, saying when": (Fault(on=ITEMS, status=503, headers=after(1)), TAKEN, 2, 1),
    "503 once, saying it badly": (Fault(on=ITEMS, status=503, headers=after("soon")), TAKEN, 2, 1),
    "503 for ever, saying when": (
        Fault(on=ITEMS, status=503, headers=after(1), times=99),
        UNSENT,
        MAX_ATTEMPTS,
        0,
    ),
    "503 and no more": (Fault(on=ITEMS, status=503), IN_DOUBT, 1, 0),
    **{
        f"{status}": (Fault(on=ITEMS, status=status), IN_DOUBT, 1, 0)
        for status in (500, 501, 502, 504, 507)
    },
    "500 that says when": (Fault(on=ITEMS, status=500, headers=after(1)), IN_DOUBT, 1, 0),
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
    "hung up before": (Fault(on=ITEMS, drop="before"), IN_DOUBT, 1, 0),
    "hung up after": (Fault(on=ITEMS, drop="after"), IN_DOUBT, 1, 1),
    "no answer in time": (Fault(on=ITEMS, delay=3, drop="before"), IN_DOUBT, 1, 0),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_what_became_of_a_work_item_is_told_truly(
    name: str, fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    fault, told, seen, taken = OUTCOMES[name]
    cxone = client(timeout=(5, 1) if name == "no answer in time" else (5, 30))
    cxone.sign_in()
    fake.faults.order(*filter(None, [fault]))
    if told is TAKEN:
        assert cxone.post_work_item(**MAIL) is not None
    else:
        with pytest.raises(MailroomError) as raised:
            cxone.post_work_item(**MAIL)
        assert type(raised.value) is told
    assert (posts(fake), len(fake.work_items)) == (seen, taken)


def test_a_refusal_has_its_status_and_reason(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    with pytest.raises(WorkItemRefused) as raised:
        client(settings={"point_of_contact": "unknown"}).post_work_item(**MAIL)
    assert (raised.value.status, raised.value.reason) == (400, "Point of contact is not valid")


def test_the_contact_id_is_a_text_with_all_its_digits(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    assert client().post_work_item(**MAIL) == "412345678900000001" == fake.work_items[0].contact_id


def test_a_work_item_may_be_taken_without_a_contact_id(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    fake.empty_answers = True
    assert client().post_work_item(**MAIL) is None
    assert len(fake.work_items) == 1


# --------------------------------------------------------------- what no HTTP library would answer

TOKEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


def scripted(answer: Callable[[], bytes | Iterator[bytes]]) -> ScriptedServer:
    """A server that gives a token (legacy), and answers a work item as it is told to."""
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
    "no number that it could be": (lambda: OK % (19, b'{"contactId":1.5e9}'), None),
    "a list": (lambda: OK % (3, b"[1]"), None),
    "no JSON": (lambda: OK % (27, b"No known way to render data"), None),
    "no UTF-8": (lambda: OK % (17, b'{"contactId":"\xff"}'), None),
    "nested without end": (lambda: OK % (len(NESTED), NESTED), None),
    "broken off": (lambda: b'HTTP/1.1 202 Accepted\r\nContent-Length: 99\r\n\r\n{"contactI', None),
    "no gzip, whatever it says": (
        lambda: b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        None,
    ),
    "without end": (flood, None),
    "and headers that break off": (lambda: b"HTTP/1.1 202 Accepted\r\nContent-Len", None),
}


@pytest.mark.parametrize("name", BODIES)
def test_what_was_taken_is_taken_whatever_the_body(name: str) -> None:
    answer, contact_id = BODIES[name]
    with scripted(answer) as server, CXoneClient(legacy(server.url)) as cxone:
        assert cxone.post_work_item(**MAIL) == contact_id


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 20", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc no\r\n\r\n"],
)
def test_an_answer_that_breaks_off_leaves_a_doubt(answer: bytes) -> None:
    with scripted(lambda: answer) as server, CXoneClient(legacy(server.url)) as cxone:
        with pytest.raises(WorkItemInDoubt):
            cxone.post_work_item(**MAIL)
        assert len(server.requests) == 2  # the token, and the work item once


# ------------------------------------------------------------------------------------- not reached


def test_what_finds_no_connection_is_tried_again_and_unsent(
    fake: FakeCXone, pauses: list[float]
) -> None:
    with Serving(fake.app) as serving:
        cxone = CXoneClient(fake.settings(serving.url), sleep=pauses.append)
        cxone.sign_in()
    with cxone, pytest.raises(WorkItemUnsent, match="could not be reached"):
        cxone.post_work_item(**MAIL)
    assert (posts(fake), len(pauses)) == (0, MAX_ATTEMPTS - 1)


def test_who_does_not_pick_up_in_time_was_not_reached(pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, ExitStack() as callers:
        for _ in range(4):  # its queue is full: who comes now waits
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            with suppress(BlockingIOError):
                caller.connect(deaf.getsockname())
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        cxone = callers.enter_context(
            CXoneClient(legacy(url), timeout=(0.2, 30), sleep=pauses.append)
        )
        with pytest.raises(WorkItemUnsent, match="could not be reached"):
            cxone.post_work_item(**MAIL)
    assert len(pauses) == MAX_ATTEMPTS - 1


def test_who_cannot_prove_who_he_is_gets_nothing(tmp_path: Path, pauses: list[float]) -> None:
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
            if said := wrapped.recv(1000):
                heard.append(said)


def _certificate(folder: Path) -> ssl.SSLContext:
    """A certificate that nobody has signed but itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
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


# ---------------------------------------------------------------------------------------- patience


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
def test_a_retry_after_is_heeded_up_to_half_a_minute(
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


def test_without_a_retry_after_it_waits_longer_each_time(
    fake: FakeCXone, client: Callable[..., CXoneClient], pauses: list[float]
) -> None:
    fake.faults.order(Fault(on=ITEMS, status=429, times=3))
    assert client().post_work_item(**MAIL)
    assert [0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses)] == [True] * 3


def test_nothing_is_sent_when_patience_is_over(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    with pytest.raises(WorkItemUnsent):
        client(total_timeout=0).post_work_item(**MAIL)
    assert fake.faults.seen("") == 0


def test_a_wait_that_patience_does_not_allow_is_not_begun(
    fake: FakeCXone, client: Callable[..., CXoneClient], pauses: list[float]
) -> None:
    fake.faults.order(Fault(on=ITEMS, status=429, headers=after(25)))
    with pytest.raises(WorkItemUnsent, match="busy"):
        client(total_timeout=20).post_work_item(**MAIL)
    assert (posts(fake), pauses) == (1, [])


def test_a_pause_that_took_too_long_is_not_followed_by_a_post(fake: FakeCXone, url: str) -> None:
    with CXoneClient(fake.settings(url), total_timeout=2, sleep=lambda _: time.sleep(2.1)) as cxone:
        cxone.sign_in()
        fake.faults.order(Fault(on=ITEMS, status=429, headers=after(1), times=9))
        with pytest.raises(WorkItemUnsent):
            cxone.post_work_item(**MAIL)
    assert posts(fake) == 1


def test_the_longest_call_outlasts_patience_and_timeouts(
    client: Callable[..., CXoneClient],
) -> None:
    assert client(timeout=(5, 30), total_timeout=90).max_call_seconds > 90 + 35


# ------------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize("auth", STYLES)
def test_each_way_to_sign_in_works_with_any_secret(auth: Style) -> None:
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


@pytest.mark.parametrize("auth", STYLES)
def test_a_wrong_secret_is_one_sentence(
    auth: Style, fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    with pytest.raises(
        WorkItemUnsent, match=r"no token: CXone answered 40[01]: .*EVENTLAB_CXONE_"
    ) as raised:
        client(settings={"auth": auth, "secret": "canary-wrong"}).post_work_item(**MAIL)
    assert "canary" not in str(raised.value)
    assert posts(fake) == 0


def test_a_wrong_client_is_one_sentence(client: Callable[..., CXoneClient]) -> None:
    with pytest.raises(WorkItemUnsent, match="Client authentication failed"):
        client(settings={"client_secret": "wrong"}).post_work_item(**MAIL)


@pytest.mark.parametrize("auth", STYLES)
def test_one_token_serves_many_mails_and_threads(
    auth: Style, fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    cxone = client(settings={"auth": auth})
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: cxone.post_work_item(**MAIL), range(24)))
    assert (len(set(ids)), fake.issuer.issued) == (24, 1)


@pytest.mark.parametrize("auth", STYLES)
def test_a_token_that_died_early_is_replaced_once(
    auth: Style, fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    cxone = client(settings={"auth": auth})
    cxone.post_work_item(**MAIL)
    fake.expire_tokens()
    assert cxone.post_work_item(**MAIL)
    assert (fake.issuer.issued, len(fake.work_items)) == (2, 2)


def test_two_refused_tokens_are_not_used_again(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    cxone = client()
    fake.faults.order(Fault(on=ITEMS, status=401, times=2))
    with pytest.raises(WorkItemUnsent, match="401"):
        cxone.post_work_item(**MAIL)
    assert cxone.post_work_item(**MAIL)
    assert fake.issuer.issued == 3


@pytest.mark.parametrize(("life", "used"), [(3600, 3240), (600, 540), (300, 240), (70, 10)])
def test_a_token_is_put_aside_before_its_end(
    life: int, used: int, fake: FakeCXone, url: str
) -> None:
    fake.issuer.seconds = life
    with CXoneTransport(timeout=(5, 30)) as line:
        before = time.monotonic()
        token = CXoneTokens(fake.settings(url), line).get(until=before + 60)
        assert before + used <= token.until <= time.monotonic() + used


def test_a_token_at_its_end_is_fetched_anew(
    fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    cxone = client()
    fake.issuer.seconds = 60  # within its last minute from the beginning
    cxone.post_work_item(**MAIL)
    cxone.post_work_item(**MAIL)
    assert fake.issuer.issued == 2


def test_a_token_that_another_thread_has_fetched_is_not_dropped(fake: FakeCXone, url: str) -> None:
    with CXoneTransport(timeout=(5, 30)) as line:
        tokens, until = CXoneTokens(fake.settings(url), line), time.monotonic() + 60
        first = tokens.get(until=until)
        tokens.drop(first)
        second = tokens.get(until=until)
        tokens.drop(first)
        assert tokens.get(until=until) is second is not first


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 503}, {"status": 429}, {"drop": "before"}]
)
@pytest.mark.parametrize("on", ["/auth/token", "openid-configuration", "cxone-configuration"])
def test_a_token_is_asked_for_again_after_anything(
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
def test_a_token_that_is_none_is_one_sentence(
    body: object, fake: FakeCXone, client: Callable[..., CXoneClient]
) -> None:
    fake.faults.order(Fault(on="/authentication/", status=200, body=body))
    with pytest.raises(WorkItemUnsent) as raised:
        client(settings={"auth": "accesskey"}).post_work_item(**MAIL)
    assert "canary" not in "".join(traceback.format_exception(raised.value))
    assert posts(fake) == 0


def test_an_authority_out_there_cannot_send_us_to_this_machine() -> None:
    settings = legacy("https://api.incontact.com")
    with (
        CXoneTransport(timeout=(5, 30)) as line,
        pytest.raises(WorkItemUnsent, match="on this machine"),
    ):
        CXoneTokens(settings, line)._address("http://127.0.0.1:8080/")


def test_a_token_and_its_client_say_nothing_of_their_secrets(fake: FakeCXone, url: str) -> None:
    with CXoneTransport(timeout=(5, 30)) as line:
        token = CXoneTokens(fake.settings(url), line).get(until=time.monotonic() + 60)
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
    """The request of a work item: its first line, its headers in lower case, its body."""
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


def test_a_work_item_goes_out_as_the_original_sends_it() -> None:
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


def test_the_original_s_way_to_sign_in_is_the_same_on_the_wire() -> None:
    with scripted(lambda: OK % (2, b"{}")) as server, CXoneClient(legacy(server.url)) as cxone:
        cxone.sign_in()
    [request] = server.requests
    assert request.startswith(b"POST /InContactAuthorizationServer/Token HTTP/1.1\r\n")
    assert (
        b"Authorization: basic " + base64.b64encode(b"app@vendor:canary-key") + b"\r\n" in request
    )
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == {"grant_type": "client_credentials"}


def test_the_point_of_contact_may_go_into_the_query_and_nothing_else() -> None:
    first, _, body = heard({"where": "query", "point_of_contact": "mail & more"}, payload="canary")
    assert (
        first
        == "POST /api/services/v30.0/interactions/work-items?pointOfContact=mail+%26+more HTTP/1.1"
    )
    assert "pointOfContact" not in json.loads(body)
    assert json.loads(body)["workItemPayload"] == "canary"


def test_a_version_and_a_type_are_as_they_are_set() -> None:
    first, _, body = heard({"version": "v13.0"}, work_item_type="email-auto")
    assert "/services/v13.0/" in first
    assert json.loads(body)["workItemType"] == "email-auto"


def test_a_mail_from_nobody_says_nothing_of_its_sender() -> None:
    assert "from" not in json.loads(heard({}, sender="")[2])


def test_a_lone_surrogate_harms_no_mail() -> None:
    assert json.loads(heard({}, payload="a\ud800b")[2])["workItemPayload"] == "a?b"


# ---------------------------------------------------------------- between us and the other machine


def test_on_this_machine_neither_proxy_nor_netrc_is_asked(
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
    """A proxy for all hosts, that lets nobody through."""
    with ScriptedServer(lambda _: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as server:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, server.url)
            monkeypatch.setenv(name.upper(), server.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


def test_a_proxy_that_lets_nobody_through_gets_nothing(
    proxy: ScriptedServer, pauses: list[float]
) -> None:
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


def test_out_there_netrc_does_not_replace_what_is_said(
    proxy: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine api.example.com login joe password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    until = time.monotonic() + 60
    with CXoneTransport(timeout=(5, 30)) as line:  # http, so that the proxy can look inside
        line.send(
            CXoneRequest(
                method="GET", url="http://api.example.com/", auth=AuthorizationHeader("Bearer mine")
            ),
            until=until,
        )
        line.send(CXoneRequest(method="GET", url="http://api.example.com/"), until=until)
    assert b"\r\nAuthorization: Bearer mine\r\n" in proxy.requests[0]
    assert b"uthorization" not in proxy.requests[1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_token_goes_nowhere_else(
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
def test_a_reason_is_short_and_on_one_line(
    headers: dict[str, str], body: bytes, reason: str
) -> None:
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
def test_what_was_sent_is_cut_out_of_a_reason(text: str, shown: str) -> None:
    payload = "Dear all,\nthe word is canary\nGrüße aus der Ferne"
    assert (
        reason_in({"icStatusDescription": text}, b"", sent=[payload, "joe@example.com", ""])
        == shown
    )


def test_no_secret_no_token_and_nothing_of_a_mail_is_ever_said(
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
    said: list[str] = []
    with Serving(fake.app) as serving:
        for auth in STYLES:
            settings = fake.settings(serving.url, auth=auth)
            with CXoneClient(settings, timeout=(5, 1), sleep=pauses.append) as cxone:
                cxone.sign_in()
                secrets = " ".join(
                    [*fake.issuer._good, settings.key, settings.secret, settings.client_secret]
                )
                mine, echoed = (
                    {"body": {"error": f"no: {secrets}"}},
                    _echo(f"{secrets} {mail['payload']} {mail['sender']}"),
                )
                for fault in (
                    *(Fault(on=ITEMS, status=status, **echoed) for status in (400, 403, 500, 503)),
                    *(Fault(on=ITEMS, status=status, body=echoed["body"]) for status in (400, 302)),
                    Fault(on=ITEMS, status=429, times=MAX_ATTEMPTS, **echoed),
                    Fault(on=ITEMS, status=401, times=2, **echoed),
                    Fault(on=ITEMS, drop="after"),
                    Fault(on=ITEMS, delay=2, drop="before"),
                    Fault(on="oken", status=400, **mine),
                    Fault(on="oken", status=200, body={"access_token": f"{settings.key}\n"}),
                ):
                    if "oken" in fault.on:
                        fake.expire_tokens()
                    fake.faults.order(fault)
                    with pytest.raises(MailroomError) as raised:
                        cxone.post_work_item(**mail)
                    said += traceback.format_exception(raised.value)
                    said += [repr(raised.value), str(raised.value.__dict__)]
                    fake.faults.clear()
                said += [repr(settings), repr(cxone.__dict__)]
                assert cxone.post_work_item(**mail)
    told = "\n".join([*said, caplog.text])
    assert "urllib3" in caplog.text, "the library's own log is looked at too"
    basic = [base64.b64encode(f"{a}:{b}".encode()).decode() for a in canaries for b in canaries]
    assert [word for word in ("canary", "Bearer", "eyJ", *basic) if word in told] == []


def _echo(text: str) -> dict[str, Any]:
    """An answer that repeats what it got, in a header and in its body."""
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


def test_settings_come_from_the_environment() -> None:
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


def test_nothing_secret_is_shown_of_the_settings() -> None:
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
        ("EVENTLAB_CXONE_VERSION", {"EVENTLAB_CXONE_VERSION": "latest"}),
        ("EVENTLAB_CXONE_WHERE", {"EVENTLAB_CXONE_WHERE": "header"}),
        ("EVENTLAB_CXONE_KEY", {"EVENTLAB_CXONE_AUTH": "legacy", "EVENTLAB_CXONE_KEY": "canary:x"}),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, changed: dict[str, str]) -> None:
    with pytest.raises(BadSetting) as raised:
        CXoneSettings.from_environment({**OIDC, **changed})
    assert raised.value.name == name
    assert str(raised.value).startswith(f"{name}: ")
    assert "canary" not in str(raised.value)


def test_the_older_ways_need_no_client() -> None:
    env = {name: value for name, value in OIDC.items() if "CLIENT" not in name}
    for auth in ("legacy", "accesskey"):
        url = "https://na1.nice-incontact.com"
        settings = CXoneSettings.from_environment(
            {**env, "EVENTLAB_CXONE_AUTH": auth, "EVENTLAB_CXONE_URL": url}
        )
        assert settings.auth == auth
