"""The read-only web page: what it shows, that it changes nothing, and that data is text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
import requests

from eventlab import (
    ANY,
    NEW,
    Event,
    EventStore,
    JoinedProjector,
    Projector,
    Recorded,
    Subscription,
)
from eventlab.accounts import Account, AccountView
from eventlab.cli.ui import _states as ui_states
from eventlab.observe.lag import ViewState, view_states, views_of
from eventlab.observe.ui import source
from eventlab.observe.ui.app import HEADERS, PAGES, create_ui
from eventlab.observe.ui.history import LagHistory
from eventlab.observe.ui.source import PAGE, Mailroom, Source
from tests.observe.test_lag import Deposits
from tests.support.accounts_api import in_a_thread
from tests.support.store import append_deposits, contents, fill
from tests.support.waiting import wait_until

HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b[2J\u202e\u05d0/../%2f?#"
WORDS = re.compile(r"<[^>]*>")


class Strict(Account):
    """An account that raises for an unknown event."""

    def apply(self, event: Event | Recorded) -> None:
        raise AssertionError(f"what is a {event.type!r}?")


@dataclass
class Served:
    """The page of one category."""

    url: str
    store: EventStore
    history: LagHistory

    def get(self, path: str, **query: object) -> requests.Response:
        return requests.get(f"{self.url}{path}", params=dict(query), timeout=30)  # type: ignore[arg-type]

    def text(self, path: str, **query: object) -> str:
        """Return the text of a page, with one space between words."""
        response = self.get(path, **query)
        assert response.status_code == 200, response.text
        return " ".join(html.unescape(WORDS.sub(" ", response.text)).split())


@pytest.fixture
def ui(store: EventStore, mongo: Any) -> Iterator[Served]:
    mails = [{"_id": "m-1", "domain": "example.com", "reason": "it failed"}]
    room = Mailroom("mails", lambda: {"held": 1, "submitted": 7}, lambda state: mails)
    name = store.category
    shown = Source(store.redis, mongo, [name], {name: Account}, [room])

    def states() -> Iterator[tuple[str, ViewState]]:
        for state in view_states(views_of(store, mongo)):
            yield name, state

    history = LagHistory(states)
    with in_a_thread(create_ui(shown, history)) as url:
        yield Served(url, store, history)


def test_categories_show_their_numbers(ui: Served) -> None:
    assert "no events yet" in ui.text("/")
    fill(ui.store, 3)
    fill(ui.store, 1, id="b")
    assert re.search(rf"{ui.store.category} 2 6 \d{{4}}-", ui.text("/"))


def test_category_pages_through_events_and_ids(ui: Served) -> None:
    for number in range(3):
        fill(ui.store, 39, id=f"a{number}")
    seen: list[str] = []
    query: dict[str, str] = {}
    while True:
        page = ui.get("/category", category=ui.store.category, **query).text
        found = re.findall(r'title="(\d+-\d+)"', page)
        if not found:
            break
        seen += found
        query = {"before": found[-1]}
    assert seen == [event.position for event in ui.store.read_all()][::-1]


def test_category_pages_through_all_ids(ui: Served) -> None:
    ids = {f"account-{number}" for number in range(1000)}
    for id in ids:
        ui.store.append(id, [Event("create")], expected=NEW)
    seen: set[str] = set()
    cursor: str | None = "0"
    pages = 0
    while cursor is not None:
        page = ui.get("/category", category=ui.store.category, cursor=cursor).text
        seen |= set(re.findall(r"<li><a[^>]*><bdi>([^<]*)", page))
        more = re.search(r"cursor=(\d+)\">More", page)
        cursor = more[1] if more else None
        pages += 1
    assert seen == ids
    assert pages > 3


def test_sliced_category_pages_through_its_events_and_ids(
    redis_client: redis.Redis, mongo: Any, category: str
) -> None:
    store = EventStore(redis_client, category, slices=64)
    for number in range(200):
        fill(store, 1, id=f"account-{number}")
    source = Source(redis_client, mongo, [category], {category: Account})
    found = source.store(category)
    assert found is not None
    [summary] = source.categories()
    assert (summary.aggregates, summary.events) == (200, 400)
    ids, cursor = source.ids(found, 0)
    while cursor:
        more, cursor = source.ids(found, cursor)
        ids += more
    assert sorted(ids) == store.ids()
    positions: list[str] = []
    while page := source.newest(found, positions[-1] if positions else None):
        positions += [entry.position for entry in page]
    assert len(positions) == 400
    moment = source.moment(found, "account-7", 1)
    assert moment is not None
    assert (moment.newest, moment.state) == (2, {"funds": 0})


def test_aggregate_shows_its_state_at_a_version(ui: Served) -> None:
    append_deposits(ui.store, "a", 5)
    query = {"category": ui.store.category, "id": "a"}
    assert '"funds": 15' in ui.text("/aggregate", **query)
    text = ui.text("/aggregate", **query, version=3)
    assert "Version 3 of 5" in text
    assert 'State after version 3 { "funds": 6 }' in text
    assert '"funds": 15' in ui.text("/aggregate", **query, version=99)


def test_aggregate_pages_through_a_long_log(ui: Served) -> None:
    append_deposits(ui.store, "a", 2 * PAGE + 1)
    query = {"category": ui.store.category, "id": "a"}
    page = ui.get("/aggregate", **query, version=PAGE + 1).text
    assert f'version={PAGE}">Earlier' in page
    assert f'version={2 * PAGE + 1}">Later' in page
    assert page.count('class="chosen"') == 1


def test_state_says_why_it_is_missing(ui: Served, mongo: Any) -> None:
    ui.store.append("a", [Event("bonus", {"amount": "<b>"})], expected=NEW)
    name = ui.store.category
    problems = []
    for aggregates in ({name: Strict}, {}):
        moment = Source(ui.store.redis, mongo, [name], aggregates).moment(ui.store, "a", None)
        assert moment is not None
        assert moment.state is None
        problems.append(moment.problem)
    assert problems[0] == "The class cannot apply these events: AssertionError: what is a 'bonus'?"
    assert problems[1].startswith("No class is known")


def test_state_after_many_events_is_not_replayed(
    ui: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ui.store, 3)
    monkeypatch.setattr(source, "MAX_REPLAYED", 3)
    name = ui.store.category
    assert '"funds": 2' in ui.text("/aggregate", category=name, id="a", version=3)
    assert "The page replays at most 3 events" in ui.text("/aggregate", category=name, id="a")


def test_entry_that_is_no_event_is_shown_with_its_reason(ui: Served) -> None:
    fill(ui.store, 1)
    position = ui.store.redis.xadd(ui.store.keys.stream, {"other": "x"}).decode()
    text = ui.text("/category", category=ui.store.category)
    assert f"{position} no event at {position}: " in text
    assert "a 2 deposit" in text


def test_internal_error_is_a_page_without_its_cause(store: EventStore, mongo: Any) -> None:
    def broken() -> dict[str, int]:
        raise RuntimeError("the secret cause")

    room = Mailroom("mails", broken, lambda state: [])
    shown = Source(store.redis, mongo, [store.category], {}, [room])
    with in_a_thread(create_ui(shown, LagHistory(lambda: iter(())))) as url:
        response = requests.get(f"{url}/mailroom", timeout=30)
    assert response.status_code == 500
    assert "internal error: the cause is in the log" in response.text
    assert "secret" not in response.text


def test_views_show_their_lag_through_time(ui: Served, mongo: Any) -> None:
    fill(ui.store, 2)
    with Projector(ui.store, mongo, AccountView(ui.store.category)) as projector:
        projector.catch_up()
        ui.history.sample()
        assert "Has applied every event" in ui.text("/views")
        append_deposits(ui.store, "a", 4)
        ui.history.sample()
        text = ui.text("/views")
        assert "Lags by 4 events" in text
        assert "from 0 to 4, in the last 5 minutes" in text
        projector.catch_up()
        ui.history.sample()
    [view] = ui.history.views().values()
    assert list(view.lags) == [0, 4, 0]
    assert view.lines() == ["696.0,96.0 708.0,0.0 720.0,96.0"]


def test_history_has_a_gap_while_a_server_is_down() -> None:
    answers: list[Any] = [
        [("c", ViewState("v", events=2))],
        redis.exceptions.ConnectionError("secret"),
        [("c", ViewState("v", error="it has stopped"))],
        [("c", ViewState("v", events=1))],
    ]

    def read() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    history = LagHistory(read)
    problems = []
    for _ in range(4):
        history.sample()
        problems.append(history.problem)
    [view] = history.views().values()
    assert list(view.lags) == [2, None, None, 1]
    assert problems == ["", "Redis is unavailable", "", ""]
    assert len(view.lines()) == 2


def test_history_samples_in_its_thread_until_it_is_closed() -> None:
    with LagHistory(lambda: [("c", ViewState("v", events=2))]) as history:
        wait_until(history.views)
    assert history.views()["c", "v"].highest == 2


def test_subscription_shows_pending_and_parked_events(ui: Served) -> None:
    fill(ui.store, 2)
    letters = Subscription(ui.store, "letters", consumer="one", max_failures=1)
    first, _ = letters.receive(2)
    letters.fail(first, ValueError("no such <street>"))
    assert re.search(r"letters \S+ 1 1 0 0 1", ui.text("/subscriptions"))
    text = ui.text("/subscription", category=ui.store.category, name="letters")
    assert f"{first.position} a 1 create 1 1 ValueError: no such <street>" in text
    assert re.search(r"a 2 deposit one \d+ 1", text)


def test_subscription_of_slices_shows_its_sum_its_worst_slice_and_all_its_events(
    redis_client: redis.Redis, mongo: Any, category: str
) -> None:
    store = EventStore(redis_client, category, slices=64)
    for number in range(30):
        fill(store, 9, id=f"account-{number}")
    letters = Subscription(store, "letters", consumer="one", max_failures=1)
    events = letters.receive(300)
    assert len(events) == 300
    for event in events[:60]:
        letters.fail(event, "no such street")
    source = Source(redis_client, mongo, [category], {})
    with in_a_thread(create_ui(source, LagHistory(list))) as url:
        ui = Served(url, store, LagHistory(list))
        assert re.search(r"letters \S+ 0 240 0 0 60", ui.text("/subscriptions"))
        query = {"category": category, "name": "letters"}
        text = ui.text("/subscription", **query)
        assert "0 new, 240 pending" in text
        assert re.search(r"Slice \d+ has the most of them: \d\d unfinished", text)
        assert "lost" not in text
        for rows, shown in ((events[60:], "after"), (events[:60], "cursor")):
            seen: list[str] = []
            more: dict[str, Any] = {}
            while True:
                page = ui.get("/subscription", **query, **more).text
                part = page.partition("<h2>Pending</h2>")[2 if shown == "after" else 0]
                seen += re.findall(r'"time">(\d+-\d+)<', part)
                link = re.search(rf"[;&]{shown}=([\d-]+)", part)
                if link is None:
                    break
                more = {shown: link[1]}
            assert sorted(seen) == sorted(event.position for event in rows)
        store.slice_of("account-3").forget_group("letters")
        assert "1 of 64 slices has lost the group" in ui.text("/subscription", **query)
        assert "group lost in 1 slice" in ui.text("/subscriptions")


def test_joined_view_is_shown_once_with_its_lag_in_each_category(
    store: EventStore, mongo: Any
) -> None:
    other = EventStore(store.redis, f"{store.category}-other")
    source = Source(store.redis, mongo, [store.category, other.category], {})
    history = LagHistory(lambda: ui_states(source))
    with JoinedProjector([store, other], mongo, Deposits(store.category)) as projector:
        fill(store, 2)
        fill(other, 1)
        projector.catch_up()
        fill(other, 3, id="b")
        history.sample()
        [(name, _)] = history.views().items()
        assert name == (f"{store.category} + {other.category}", store.category)
        with in_a_thread(create_ui(source, history)) as url:
            text = Served(url, store, history).text("/views")
        assert "Lags by 4 events" in text
        assert re.search(rf"{store.category} 0 0 \d+-\d+ {other.category} 4 \d+ \d+-\d+", text)
        projector.reset()


def test_mailroom_shows_its_states_and_open_mails(ui: Served) -> None:
    text = ui.text("/mailroom")
    assert "held 1 submitted 7" in text
    assert "m-1 example.com 0 it failed" in text


@pytest.mark.parametrize(
    "path", ["/category", "/aggregate", "/subscription", "/", "/subscriptions"]
)
def test_hostile_ids_types_and_data_are_text(ui: Served, path: str) -> None:
    event = Event(HOSTILE, {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE})
    ui.store.append(HOSTILE, [event], expected=ANY)
    letters = Subscription(ui.store, HOSTILE, consumer=HOSTILE, max_failures=1)
    letters.receive(1)
    letters.fail(ui.store.read(HOSTILE)[0], HOSTILE)
    query = {"category": ui.store.category, "id": HOSTILE, "name": HOSTILE}
    response = ui.get(path, **query)
    assert response.status_code == 200
    page = response.content.decode()
    assert "<script>alert" not in page
    for character in ("\x00", "\x1b", "\u202e"):
        assert character not in page
    if path != "/":
        assert html.escape("<script>alert(1)</script>") in page
        assert r"\x00" in page
    # A link to it leads to it.
    for link in re.findall(r'href="(/aggregate[^"]*)"', page):
        assert requests.get(ui.url + html.unescape(link), timeout=30).status_code == 200
    # The form of the slider leads to it, too.
    for quoted in re.findall(r'name="quoted" value="([^"]*)"', page):
        assert ui.get("/aggregate", category=ui.store.category, quoted=quoted).text == page


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/category", {"category": HOSTILE}, 404),
        ("/aggregate", {"id": HOSTILE}, 404),
        ("/subscription", {"name": HOSTILE}, 404),
        ("/category", {"before": HOSTILE}, 400),
        ("/category", {"cursor": "-1"}, 400),
        ("/category", {"cursor": "\u0663"}, 400),
        ("/aggregate", {"id": "", "version": "1"}, 400),
        ("/aggregate", {"id": "a", "version": HOSTILE}, 400),
        ("/static/../app.py", {}, 404),
        ("/static/none.js", {}, 404),
        (f"/{HOSTILE}", {}, 404),
    ],
)
def test_bad_requests_are_answered_with_a_page(
    ui: Served, path: str, query: dict[str, str], status: int
) -> None:
    response = ui.get(path, **{"category": ui.store.category} | query)
    assert response.status_code == status
    assert "<script>alert" not in response.text
    assert "<h1>Error" in response.text


@pytest.mark.parametrize("path", [*PAGES, "/static/ui.css", "/static/ui.js", "/nowhere"])
def test_every_answer_has_strict_headers(ui: Served, path: str) -> None:
    response = ui.get(path)
    for name, value in HEADERS.items():
        assert response.headers[name] == value
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_but_reading_is_served(ui: Served, path: str, method: str) -> None:
    response = requests.request(method, ui.url + path, timeout=30)
    assert response.status_code == 405


def test_pages_name_no_other_origin_and_no_inline_code(ui: Served) -> None:
    fill(ui.store, 3)
    for path in PAGES:
        page = ui.get(path, category=ui.store.category, id="a").text
        assert "http" not in re.sub("http-equiv", "", page)
        assert not re.search(r"<script>|<style|style=|\son\w+=", page)


def test_reading_every_page_changes_nothing(ui: Served, mongo: Any) -> None:
    fill(ui.store, 3)
    with Projector(ui.store, mongo, AccountView(ui.store.category)) as projector:
        projector.catch_up()
    letters = Subscription(ui.store, "letters", consumer="one", max_failures=1)
    letters.fail(letters.receive(2)[0], "no")
    before = contents(ui.store)
    documents = list(mongo.projections.find({"category": ui.store.category}))
    ui.history.sample()
    for path in PAGES:
        ui.text(path, category=ui.store.category, id="a", name="letters")
    assert contents(ui.store) == before
    assert list(mongo.projections.find({"category": ui.store.category})) == documents


def test_outage_is_a_page_that_names_the_server(mongo: Any, category: str) -> None:
    nobody = redis.Redis(unix_socket_path="/nowhere")
    source = Source.__new__(Source)
    source.redis = nobody
    source.mongo = mongo
    source.stores = {category: EventStore(nobody, category)}
    with in_a_thread(create_ui(source, LagHistory(list))) as url:
        response = requests.get(f"{url}/", timeout=60)
    assert response.status_code == 503
    assert "Redis is unavailable" in response.text
    assert "/nowhere" not in response.text
