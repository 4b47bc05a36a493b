"""The fake CXone rejects what the real one rejects, and routes work items to an agent."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.mailroom.payload import payload_of
from eventlab.sandbox.cxone.agent_client import AgentClient, AgentRequestFailed
from eventlab.sandbox.cxone.app import FakeCXone, create_fake_cxone
from eventlab.sandbox.cxone.routing import (
    STRATEGY,
    PointOfContact,
    ReceivedWorkItem,
    Routing,
    StrategyStep,
    WrongState,
)
from eventlab.sandbox.cxone.screen_pop import HEADERS, MAX_HTML_CHARS, harmless, screen_pop
from eventlab.sandbox.faults import Fault
from eventlab.sandbox.serving import Serving
from tests.support.mail import BY_NAME, read, single
from tests.support.waiting import wait_until

ITEMS = "/inContactAPI/services/v30.0/interactions/work-items"
JSON = {"Accept": "application/json"}
LIMIT = 50 * 1024


@pytest.fixture
def fake() -> FakeCXone:
    return create_fake_cxone(html_of={"gmail:1": "<p onclick='x()'>Hi</p>"}.get)


@pytest.fixture
def url(fake: FakeCXone) -> Iterator[str]:
    with Serving(fake.app) as serving:
        yield serving.url


@pytest.fixture
def bearer(fake: FakeCXone, url: str) -> dict[str, str]:
    known = fake.credentials
    body = {"accessKeyId": known.key, "accessKeySecret": known.secret}
    answer = requests.post(
        f"{url}/authentication/v1/token/access-key", json=body, timeout=60
    ).json()
    return {"Authorization": f"Bearer {answer['access_token']}", **JSON}


def post(url: str, headers: dict[str, str], path: str = ITEMS, **fields: Any) -> requests.Response:
    body = {"pointOfContact": "mail", "workItemId": "gmail:1", "workItemPayload": "Hello", **fields}
    return requests.post(url + path, json=body, headers=headers, timeout=60)


def reason(answer: requests.Response) -> str:
    return answer.headers["icStatusDescription"]


# ------------------------------------------------------------------------------------------ tokens


def test_legacy_token_names_its_server_and_covers_only_work_items(
    fake: FakeCXone, url: str
) -> None:
    known = fake.credentials
    answer = requests.post(
        f"{url}/InContactAuthorizationServer/Token",
        json={"grant_type": "client_credentials"},
        auth=(known.application, known.application_key),
        timeout=60,
    )
    token = answer.json()
    assert (token["resource_server_base_uri"], token["expires_in"]) == (
        f"{url}/InContactAPI/",
        3600,
    )
    headers = {"Authorization": f"Bearer {token['access_token']}", **JSON}
    assert post(url, headers).status_code == 202
    rejected = requests.post(
        f"{url}/InContactAPI/services/v30.0/agent-sessions", headers=headers, timeout=60
    )
    assert (rejected.status_code, reason(rejected)) == (403, "The token has no scope AgentApi")


def test_oidc_is_discovered_and_its_token_names_the_tenant(fake: FakeCXone, url: str) -> None:
    known = fake.credentials
    found = requests.get(f"{url}/.well-known/openid-configuration", timeout=60).json()
    assert found["token_endpoint_auth_methods_supported"] == ["client_secret_basic"]
    form = {"grant_type": "password", "username": known.key, "password": known.secret}
    answer = requests.post(
        found["token_endpoint"], form, auth=(known.client, known.client_secret), timeout=60
    )
    claims = answer.json()["access_token"].split(".")[1]
    tenant = json.loads(base64.urlsafe_b64decode(claims + "=="))["tenantId"]
    where = requests.get(
        f"{url}/.well-known/cxone-configuration", {"tenantId": tenant}, timeout=60
    ).json()
    assert where["api_endpoint"] == url
    wrong = requests.get(
        f"{url}/.well-known/cxone-configuration", {"tenantId": "other"}, timeout=60
    )
    assert wrong.status_code == 404


@pytest.mark.parametrize(
    ("path", "how", "status"),
    [
        (
            "/InContactAuthorizationServer/Token",
            {"json": {"grant_type": "client_credentials"}},
            401,
        ),
        (
            "/InContactAuthorizationServer/Token",
            {"json": {"grant_type": "password"}, "auth": "application"},
            400,
        ),
        ("/InContactAuthorizationServer/Token", {"data": b"[", "auth": "application"}, 400),
        (
            "/authentication/v1/token/access-key",
            {"json": {"accessKeyId": "x", "accessKeySecret": "y"}},
            401,
        ),
        ("/authentication/v1/token/access-key", {"data": b"\xff"}, 401),
        ("/auth/token", {"data": {"grant_type": "password"}}, 401),
        (
            "/auth/token",
            {"data": {"grant_type": "password", "username": "x"}, "auth": "client"},
            400,
        ),
        ("/auth/token", {"data": {"grant_type": "client_credentials"}, "auth": "client"}, 400),
        ("/auth/token", {"json": {"grant_type": "password"}, "auth": "client"}, 400),
    ],
)
def test_wrong_credentials_get_no_token(
    path: str, how: dict[str, Any], status: int, fake: FakeCXone, url: str
) -> None:
    known = fake.credentials
    pairs = {
        "application": (known.application, known.application_key),
        "client": (known.client, known.client_secret),
        None: ("joe", "x"),
    }
    answer = requests.post(url + path, timeout=60, **{**how, "auth": pairs[how.get("auth")]})
    assert (answer.status_code, set(answer.json())) == (status, {"error", "error_description"})
    assert fake.issuer.issued == 0


def test_expired_unknown_and_missing_tokens_are_rejected(
    fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    assert post(url, bearer).status_code == 202
    fake.expire_tokens()
    for headers in (bearer, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}, {}):
        answer = post(url, headers)
        assert (answer.status_code, reason(answer)) == (401, "The token is invalid or has expired")
    assert len(fake.work_items) == 1


def test_token_expires(fake: FakeCXone, url: str) -> None:
    fake.issuer.seconds = 0.05
    token = fake.issuer.issue("PatronApi")
    assert wait_until(lambda: fake.issuer.scopes(token) is None)


# -------------------------------------------------------------------------------------- work items


def test_accepted_work_item_gets_a_contact_id_of_18_digits(
    fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    answer = post(url, bearer, workItemType="email", **{"from": "joe@example.com"})
    [item] = fake.work_items
    assert (answer.status_code, answer.json()) == (202, {"contactId": int(item.contact_id)})
    assert (len(item.contact_id), item.payload, item.type) == (18, "Hello", "email")
    assert (item.work_item_id, item.sender) == ("gmail:1", "joe@example.com")


def test_work_item_is_accepted_without_an_accept_header_for_json(
    fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    answer = post(url, {**bearer, "Accept": "*/*"})
    assert (answer.status_code, answer.text) == (202, "No known way to render data")
    assert len(fake.work_items) == 1


def test_response_is_empty_when_so_configured(
    fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    fake.empty_answers = True
    answer = post(url, bearer)
    assert (answer.status_code, answer.content) == (202, b"")


def test_repeated_work_item_is_accepted_twice(
    fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    assert post(url, bearer).json() != post(url, bearer).json()
    assert [item.work_item_id for item in fake.work_items] == ["gmail:1", "gmail:1"]


@pytest.mark.parametrize("name", ["inContactAPI", "InContactAPI", "incontactapi"])
def test_path_matches_in_any_case(name: str, url: str, bearer: dict[str, str]) -> None:
    assert (
        post(
            url, bearer, ITEMS.replace("inContactAPI", name).replace("work-items", "Work-Items")
        ).status_code
        == 202
    )


def test_fields_may_be_in_the_query_and_the_id_spelled_in_two_ways(
    fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    query = {
        "pointOfContact": "mail",
        "workItemID": "gmail:2",
        "workItemPayload": "日本",
        "from": "joe@example.com",
    }
    assert requests.post(url + ITEMS, params=query, headers=bearer, timeout=60).status_code == 202
    body = {"workItemID": "gmail:3", "workItemPayload": "Hi"}
    both = requests.post(
        url + ITEMS, params={"pointOfContact": "mail"}, json=body, headers=bearer, timeout=60
    )
    assert both.status_code == 202
    seen = [(item.work_item_id, item.payload) for item in fake.work_items]
    assert seen == [("gmail:2", "日本"), ("gmail:3", "Hi")]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"pointOfContact": "unknown"}, "Point of contact is not valid"),
        ({"pointOfContact": ""}, "Point of contact is not valid"),
        ({"pointOfContact": 7}, "The request is not valid"),
        ({"workItemPayload": {"a": 1}}, "The request is not valid"),
        ({"workItemPayload": "x" * (LIMIT + 1)}, "workItemPayload is larger than 50 KB"),
        ({"workItemPayload": "é" * (LIMIT // 2 + 1)}, "workItemPayload is larger than 50 KB"),
    ],
)
def test_invalid_work_item_is_rejected_with_a_reason_in_a_header(
    fields: dict[str, Any], why: str, fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    answer = post(url, bearer, **fields)
    assert (answer.status_code, reason(answer), answer.content) == (400, why, b"")
    assert fake.work_items == []


def test_invalid_json_and_unknown_version_are_rejected(url: str, bearer: dict[str, str]) -> None:
    for body in (b"{", b"[1]", b"\xff", b"[" * 100_000):
        assert requests.post(url + ITEMS, body, headers=bearer, timeout=60).status_code == 400
    assert post(url, bearer, ITEMS.replace("v30.0", "latest")).status_code == 404


def test_payload_of_exactly_50_kb_is_accepted(
    fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    assert post(url, bearer, workItemPayload="é" * (LIMIT // 2)).status_code == 202
    assert fake.work_items[0].payload == "é" * (LIMIT // 2)


def test_larger_payload_is_truncated_when_so_configured(
    fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    fake.oversize = "truncate"
    assert post(url, bearer, workItemPayload="a" + "é" * LIMIT).status_code == 202
    assert fake.work_items[0].payload == "a" + "é" * (LIMIT // 2 - 1)  # cut between two characters


def test_fault_happens_before_or_after_the_work_item_is_accepted(
    fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    for when, accepted in (("before", 0), ("after", 1)):
        fake.faults.order(Fault(on="work-items", drop="before" if when == "before" else "after"))
        with pytest.raises(requests.ConnectionError):
            post(url, bearer)
        assert len(fake.work_items) == accepted
    fake.faults.order(Fault(on="work-items", status=429, headers=(("Retry-After", "2"),)))
    assert post(url, bearer).headers["Retry-After"] == "2"
    assert fake.faults.seen("work-items") == 3


# ----------------------------------------------------------------------------------------- routing


def item(number: int = 1, point: str = "mail") -> ReceivedWorkItem:
    return ReceivedWorkItem(
        contact_id=str(number),
        point_of_contact=point,
        work_item_id=f"gmail:{number}",
        payload="Hello",
        type="email",
        sender="joe@example.com",
        screen_pop=f"http://127.0.0.1/screen-pop/{number}",
    )


def test_work_item_passes_the_strategy_step_by_step() -> None:
    routing = Routing([PointOfContact("mail")])
    contact = routing.arrive(item())
    assert (contact.state, contact.passed) == ("InQueue", ["Begin", "Reqagent", "Wait"])
    session = routing.log_in()
    assert (contact.state, contact.passed) == ("Incoming", ["Begin", "Reqagent", "Wait"])
    routing.accept(session, "1")
    assert (contact.state, contact.passed[-1]) == ("Active", "OnAnswer")
    routing.end("1", session)
    assert (contact.state, contact.passed) == ("Disconnected", [step.action for step in STRATEGY])
    seen = [
        (event["Status"], event["ScreenPopUrl"] != "", event["FinalState"])
        for event in session.events
    ]
    assert seen == [
        ("Incoming", False, "False"),
        ("Active", True, "False"),
        ("Disconnected", True, "True"),
    ]


def test_work_item_is_abandoned_without_a_wait_step() -> None:
    routing = Routing(
        [PointOfContact("mail", strategy=[step for step in STRATEGY if step.action != "Wait"])]
    )
    contact = routing.arrive(item())
    assert (contact.state, contact.abandoned) == ("Disconnected", True)
    assert routing.log_in().events == []


def test_strategy_without_onanswer_opens_no_screen_pop() -> None:
    routing = Routing(
        [PointOfContact("mail", strategy=[StrategyStep("Begin", ""), StrategyStep("Wait", "")])]
    )
    session = routing.log_in()
    routing.arrive(item())
    routing.accept(session, "1")
    assert session.events[-1]["ScreenPopUrl"] == ""


def test_agent_has_one_contact_at_a_time_oldest_first() -> None:
    routing = Routing([PointOfContact("mail"), PointOfContact("more", "other work")])
    contacts = [routing.arrive(item(1)), routing.arrive(item(2, "more")), routing.arrive(item(3))]
    first = routing.log_in()
    second = routing.log_in()
    assert [contact.state for contact in contacts] == ["Incoming", "Incoming", "InQueue"]
    assert (first.events[0]["ContactID"], second.events[0]["SkillId"]) == ("1", "other work")
    routing.accept(first, "1")
    routing.end("1", first)
    assert first.events[-1]["ContactID"] == "3"


def test_rejected_and_abandoned_contacts_go_to_another_agent() -> None:
    routing = Routing([PointOfContact("mail")])
    first = routing.log_in()
    second = routing.log_in()
    contact = routing.arrive(item())
    routing.reject(first, "1")
    assert (contact.rejections, second.contact) == (1, contact)
    assert [event["Status"] for event in first.events] == ["Incoming", "Disconnected"]
    assert first.events[-1]["FinalState"] == "False"
    routing.accept(second, "1")
    routing.log_out(second)
    assert (first.contact, contact.state) == (contact, "Incoming")


def test_rejected_contact_is_offered_again_without_another_agent() -> None:
    routing = Routing([PointOfContact("mail")])
    session = routing.log_in()
    contact = routing.arrive(item())
    routing.reject(session, "1")
    assert session.contact is contact


def test_contact_can_be_ended_in_any_state() -> None:
    routing = Routing([PointOfContact("mail")])
    session = routing.log_in()
    held = routing.arrive(item(1))
    waiting = routing.arrive(item(2))
    routing.end("2")
    routing.end("1")
    assert (held.state, waiting.state, session.contact) == ("Disconnected", "Disconnected", None)
    with pytest.raises(WrongState):
        routing.end("1")
    with pytest.raises(WrongState):
        routing.end("unknown")


def test_action_in_the_wrong_state_is_rejected() -> None:
    routing = Routing([PointOfContact("mail")])
    session = routing.log_in()
    other = routing.log_in()
    routing.arrive(item())
    actions: list[Callable[[], None]] = [
        lambda: routing.accept(other, "1"),
        lambda: routing.end("1", session),
    ]
    for action in actions:
        with pytest.raises(WrongState):
            action()
    routing.accept(session, "1")
    for again in (routing.accept, routing.reject):
        with pytest.raises(WrongState):
            again(session, "1")


# ---------------------------------------------------------------------------------- agent sessions


def test_agent_accepts_sees_and_ends_a_mail(fake: FakeCXone, url: str) -> None:
    settings = fake.settings(url, auth="oidc")
    with CXoneClient(settings) as cxone, AgentClient(settings) as agent:
        id = cxone.post_work_item(
            work_item_id="gmail:1", payload="Hello <b>", sender="joe@example.com"
        )
        assert id is not None
        [offer] = agent.next_events(20)
        assert (offer["Type"], offer["ContactID"], offer["Status"]) == (
            "WorkItemContactEvent",
            id,
            "Incoming",
        )
        assert {type(value) for value in offer.values()} == {str}
        agent.accept(id)
        [answered] = agent.next_events(20)
        page = requests.get(answered["ScreenPopUrl"], timeout=60)
        assert "<pre>Hello &lt;b&gt;</pre>" in page.text
        assert "&lt;p&gt;Hi&lt;/p&gt;" in page.text, "the mail's own HTML, cleaned and framed"
        assert {name: page.headers[name] for name in HEADERS} == dict(HEADERS)
        agent.end(id)
        assert [event["FinalState"] for event in agent.next_events(20)] == ["True"]
        assert agent.next_events() == []
    assert fake.routing.contacts[id].state == "Disconnected"
    assert fake.routing.sessions == []


def test_session_id_changes_with_each_response(url: str, bearer: dict[str, str]) -> None:
    base = f"{url}/inContactAPI/services/v30.0/agent-sessions"
    first = requests.post(base, headers=bearer, timeout=60).json()["sessionId"]

    def poll(id: str, timeout: str = "0") -> requests.Response:
        return requests.get(
            f"{base}/{id}/get-next-event", {"timeout": timeout}, headers=bearer, timeout=60
        )

    answer = poll(first).json()
    assert answer["events"] == []
    assert answer["sessionId"] != first
    assert poll(first).status_code == 409
    assert poll("unknown").status_code == 404
    assert [poll(answer["sessionId"], odd).status_code for odd in ("x", "nan", "-1", "inf")] == [
        400
    ] * 4
    assert (
        requests.delete(f"{base}/{answer['sessionId']}", headers=bearer, timeout=60).status_code
        == 202
    )
    assert poll(answer["sessionId"]).status_code == 409


def test_long_poll_returns_when_an_event_arrives(
    fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    received: list[Any] = []
    with AgentClient(fake.settings(url)) as agent:
        poll = threading.Thread(target=lambda: received.extend(agent.next_events(60)))
        poll.start()
        assert wait_until(lambda: fake.faults.seen("get-next-event"))
        post(url, bearer)
        poll.join()
        assert [event["Status"] for event in received] == ["Incoming"]


def test_long_poll_ends_with_the_session(fake: FakeCXone, url: str, bearer: dict[str, str]) -> None:
    base = f"{url}/inContactAPI/services/v30.0/agent-sessions"
    id = requests.post(base, headers=bearer, timeout=60).json()["sessionId"]
    statuses: list[int] = []

    def poll() -> None:
        answer = requests.get(
            f"{base}/{id}/get-next-event", {"timeout": "60"}, headers=bearer, timeout=120
        )
        statuses.append(answer.status_code)

    thread = threading.Thread(target=poll)
    thread.start()
    assert wait_until(lambda: fake.faults.seen("get-next-event"))
    requests.delete(f"{base}/{id}", headers=bearer, timeout=60)
    thread.join()
    assert statuses == [409]


def test_invalid_agent_action_is_reported(
    fake: FakeCXone, url: str, bearer: dict[str, str]
) -> None:
    with AgentClient(fake.settings(url, auth="accesskey")) as agent:
        with pytest.raises(
            AgentRequestFailed,
            match=r"rejected the agent's request \(400\): Contact is not Incoming for this agent",
        ):
            agent.accept("412345678900000001")
        post(url, bearer)
        [offer] = agent.next_events(20)
        agent.reject(offer["ContactID"])
        assert [event["Status"] for event in agent.next_events(20)] == ["Disconnected", "Incoming"]


def test_agent_call_needs_a_token_a_session_and_a_known_action(
    url: str, bearer: dict[str, str]
) -> None:
    sessions = f"{url}/inContactAPI/services/v30.0/agent-sessions"

    def status(method: str, path: str, headers: dict[str, str]) -> int:
        return requests.request(method, path, headers=headers, timeout=60).status_code

    assert status("POST", sessions, JSON) == 401
    id = requests.post(sessions, headers=bearer, timeout=60).json()["sessionId"]
    contact = f"{sessions}/{id}/interactions/1"
    ended = f"{url}/inContactAPI/services/v30.0/contacts/1/end"
    assert status("POST", f"{contact}/accept", JSON) == status("POST", ended, JSON) == 401
    assert status("POST", f"{contact}/steal", bearer) == 404
    assert status("POST", f"{sessions}/none/interactions/1/accept", bearer) == 404
    assert status("DELETE", f"{sessions}/none", bearer) == 404
    assert status("DELETE", f"{sessions}/{id}", JSON) == 401
    assert status("DELETE", f"{sessions}/{id}", bearer) == 202


def test_contact_can_be_looked_up_but_does_not_show_its_work_item(
    url: str, bearer: dict[str, str]
) -> None:
    id = post(url, bearer, **{"from": "joe@example.com"}).json()["contactId"]
    contacts = f"{url}/inContactAPI/services/v30.0/contacts"
    found = requests.get(f"{contacts}/{id}", headers=bearer, timeout=60).json()
    assert (found["contactId"], found["stateName"], found["fromAddress"]) == (
        id,
        "InQueue",
        "joe@example.com",
    )
    assert "gmail:1" not in json.dumps(found)
    assert requests.post(f"{contacts}/{id}/end", headers=bearer, timeout=60).status_code == 202
    assert requests.post(f"{contacts}/{id}/end", headers=bearer, timeout=60).status_code == 400
    assert requests.get(f"{contacts}/1", headers=bearer, timeout=60).status_code == 404
    assert requests.get(f"{contacts}/{id}", headers=JSON, timeout=60).status_code == 401


# -------------------------------------------------------------------------------------- screen pop


def test_screen_pop_escapes_every_value(fake: FakeCXone) -> None:
    evil = "<script>x()</script>\"'&"
    page = screen_pop(
        ReceivedWorkItem(
            contact_id=evil,
            point_of_contact=evil,
            work_item_id=evil,
            payload=evil,
            type=evil,
            sender=evil,
            screen_pop="",
        ),
        f"<p>{evil}</p>",
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;x()&lt;/script&gt;&quot;&#x27;&amp;") == 7


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (
            BY_NAME["58-web-form"].raw,
            ["Reply-To: Kim Muster &lt;kim.muster@example.org&gt;", "Delivered-To: agent@"],
        ),
        (
            BY_NAME["61-picture-newsletter"].raw,
            ["[image: Up to 70 % off] (https://example.com/sale?id=77)"],
        ),
        (
            single(
                b"<a href='https://e.example.com/\"><script>x()</script>'>a</a>"
                b"<img alt='<img src=x>'>"
                b"<a href='javascript:x()'>b</a><blockquote>&lt;iframe src=x></blockquote>",
                'Reply-To: "</pre><a href=x>" <kim@example.org>',
                "Content-Type: text/html",
            ),
            [
                "Reply-To: &lt;/pre&gt;&lt;a href=x&gt; &lt;kim@example.org&gt;",
                "a (https://e.example.com/%22%3E%3Cscript%3Ex()%3C/script%3E)",
                "[image: &lt;img src=x&gt;] b",
                "&gt; &lt;iframe src=x&gt;",
            ],
        ),
    ],
    ids=["web form", "pictures", "hostile"],
)
def test_screen_pop_shows_a_payload_as_nothing_but_text(raw: bytes, shown: list[str]) -> None:
    mail = read(raw)
    page = screen_pop(replace(item(), payload=payload_of(mail)), mail.html)
    assert [words for words in shown if words not in page] == []
    assert not re.search(r"<(?:a|img|script|form|link|meta http-equiv=.refresh)\b", page)
    assert "javascript:" not in page
    assert page.count("<iframe") == 1


def test_screen_pop_without_html_has_no_frame() -> None:
    assert "<iframe" not in screen_pop(item())
    assert '<iframe sandbox referrerpolicy="no-referrer"' in screen_pop(item(), "<p>Hi</p>")


def test_screen_pop_of_an_unknown_contact_is_404(url: str) -> None:
    assert requests.get(f"{url}/screen-pop/%3Cscript%3E", timeout=60).status_code == 404


@pytest.mark.parametrize(
    ("markup", "left"),
    [
        ("<p style='position:fixed' class=a id=b onclick=x()>Hi</p>", "<p>Hi</p>"),
        ("<script>x()</script><style>@import 'x';</style><title>t</title>Hi", "Hi"),
        ("<img src=http://example.com/a onerror=x()>Hi", "Hi"),
        ("<a href='javascript:x()'>Hi</a>", "Hi"),
        (
            "<meta http-equiv=refresh content='0;url=http://example.com'>"
            "<base href=//example.com><link rel=x>Hi",
            "Hi",
        ),
        ("<svg><script>x()</script><image href=x /></svg><math><mtext></math>Hi", "Hi"),
        ("<form action=x><input value=y><button>Hi</button></form>", "Hi"),
        ("<iframe srcdoc='<p>x'></iframe><object data=x>y</object><embed src=x>Hi", "Hi"),
        ("<!-- <p> --><![CDATA[x]]>Hi<plaintext>", "Hi"),
        ('<noscript><p title="</noscript><img src=x onerror=x()>">Hi', '"&gt;Hi'),
        ("<p>a\ud800b", "<p>a?b</p>"),
    ],
)
def test_harmless_keeps_only_text_and_structure(markup: str, left: str) -> None:
    assert harmless(markup) == left


def test_harmless_truncates_long_html() -> None:
    assert len(harmless("x" * (MAX_HTML_CHARS + 100))) == MAX_HTML_CHARS
    assert harmless("<div>" * 1_000_000).count("<div>") == -(-MAX_HTML_CHARS // 5) - 1
