"""Two routers share a mailbox while they are killed, disconnected, rate limited and answered with
server errors: no mail is lost, and none is sent twice.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from eventlab.mailroom.durability import DurableLog
from eventlab.mailroom.inbox_cursor import CURSOR_ID
from eventlab.sandbox.faults import Fault
from eventlab.sandbox.samples import samples
from tests.support.crash_servers import RedisServer, redis_server
from tests.support.mailroom import BATCH, ITEMS, Room, Where, mail, room, routing
from tests.support.waiting import wait_until

pytestmark = pytest.mark.crash

__all__ = ["redis_server"]  # a fixture

MAILS = 500
PAGE_SIZE = 100
MAILS_PER_KILL = 50
ROUTERS = 2
LONG = 1200.0  # seconds, for a busy machine; a test that passes never waits that long
BUSY = (("Retry-After", "0"),)
GMAIL_FAULTS = (
    Fault(on="GET /gmail/v1/users/me/messages?", status=503, times=2),
    Fault(on=BATCH, status=429, times=2),
    Fault(on=BATCH, skip=3, drop="before"),
    Fault(on=BATCH, skip=8, status=503),
    Fault(on=BATCH, skip=12, drop="after"),
)
CXONE_FAULTS = (
    Fault(on=ITEMS, skip=15, status=429, times=3, headers=BUSY),
    Fault(on=ITEMS, skip=70, status=503, times=2, headers=BUSY),
    Fault(on=ITEMS, skip=90, status=503),  # no Retry-After: the outcome is unknown
    Fault(on=ITEMS, skip=120, drop="before", times=2),
    Fault(on=ITEMS, skip=150, drop="before"),  # apart, so that a router that stalls misses only one
    Fault(on=ITEMS, skip=180, drop="after", times=2),
    Fault(on=ITEMS, skip=210, drop="after"),
    Fault(on=ITEMS, skip=230, drop="before"),
    Fault(on=ITEMS, skip=250, status=500),
    Fault(on=ITEMS, skip=270, drop="after"),
    Fault(on=ITEMS, skip=300, status=429, times=6),
)
REASONS = (
    "did not report an outcome before its deadline",
    "the connection ended before the response arrived",
    "CXone responded with 503",
    "CXone responded with 500",
    "no response arrived in time",
)


#: Mails of every kind, without the largest: they would take minutes.
SAMPLES = [
    sample.raw for sample in samples() if "INBOX" in sample.label_ids and len(sample.raw) < 100_000
]


def any_mail(n: int) -> bytes:
    """Return a sample mail, or a plain one for every other number."""
    return mail(n) if n % 2 else SAMPLES[n // 2 % len(SAMPLES)]


class Routers:
    """Two routers as processes: `kill_one` kills the oldest and starts a new one in its place."""

    def __init__(self, server: RedisServer, here: Room, closing: ExitStack) -> None:
        self._here = here
        self._server = server
        self._closing = closing
        self._running: list[Any] = []
        self._started = 0
        for _ in range(ROUTERS):
            self.start()

    def start(self) -> None:
        self._started += 1
        here = self._here
        name = f"router-{self._started}"
        where = Where(
            *(self._server.socket, here.store.category, here.both.settings(), name),
            page_size=PAGE_SIZE,
            options={"batch_size": 5},
        )
        process, _summaries = self._closing.enter_context(routing(where))
        self._running.append(process)

    def kill_one(self) -> None:
        process = self._running.pop(0)
        assert process.is_alive(), "a router exited on its own"
        process.kill()
        process.join()
        self.start()

    def all_run(self) -> bool:
        return all(process.is_alive() for process in self._running)


@pytest.fixture
def here(redis_server: RedisServer) -> Any:
    with redis_server.client() as client, room(client, "mailStream") as made:
        yield made


def test_none_of_500_mails_is_lost_and_none_is_sent_twice(
    redis_server: RedisServer, here: Room
) -> None:
    gmail = here.both.gmail
    cxone = here.both.cxone
    ids = [gmail.deliver(any_mail(n)) for n in range(MAILS)]
    gmail.faults.order(*GMAIL_FAULTS)
    cxone.faults.order(*CXONE_FAULTS)
    with ExitStack() as closing:
        routers = Routers(redis_server, here, closing)
        for target in range(MAILS_PER_KILL, MAILS - MAILS_PER_KILL, MAILS_PER_KILL):
            wait_until(
                lambda target=target: len(cxone.work_items) >= target or not routers.all_run(), LONG
            )
            routers.kill_one()
            if target in (100, 300):
                gmail.expire_tokens()
                cxone.expire_tokens()
        wait_until(lambda: not routers.all_run() or all_decided(here, ids), LONG)
        assert routers.all_run()
    page_tokens = {
        request.partition("pageToken=")[2].partition("&")[0]
        for request in gmail.seen
        if "/messages?" in request and "pageToken" in request
    }
    assert len(page_tokens) == MAILS // PAGE_SIZE - 1
    accepted = here.accepted()
    in_doubt = [id for id in ids if here.status(id) == "in_doubt"]
    # No mail is lost or sent twice (counted at the fake server), and an unknown outcome is recorded
    # with its reason.
    assert set(here.store.ids()) == {*ids, CURSOR_ID}
    assert max(accepted.values()) == 1
    skipped = [id for id in ids if here.status(id) == "skipped"]
    assert {here.item(id).reason for id in skipped} <= {"its kind is reaction"}
    assert [id for id in skipped if accepted[id]] == []
    for id in set(ids) - set(in_doubt) - set(skipped):
        item = here.item(id)
        assert (item.status, accepted[id], item.accepted_count) == ("submitted", 1, 1), (
            id,
            here.types(id),
        )
    for id in in_doubt:
        assert any(reason in here.item(id).reason for reason in REASONS), here.item(id).reason
    # The connection was dropped before the response, both before and after CXone stored the item.
    assert sum(here.item(id).reason == REASONS[1] for id in in_doubt) >= 3
    assert {accepted[id] for id in in_doubt} == {0, 1}  # a router could not have known which
    assert len({item.contact_id for item in cxone.work_items}) == len(cxone.work_items)
    # An operator checks CXone and decides.
    hub = here.router("desk")
    for id in in_doubt:
        if accepted[id]:
            item = here.item(id)
            item.confirm(DurableLog(here.store).now())
            here.store.append(id, item.changes, expected=item.version - 1)
        else:
            assert hub.resend(id).submitted == 1
    assert here.accepted() == dict.fromkeys(set(ids) - set(skipped), 1)
    last = hub.run_once()
    assert (last.new, last.submitted, last.held, last.waiting, last.open) == (0, 0, 0, 0, 0)


def all_decided(here: Room, ids: list[str]) -> bool:
    return all(here.status(id) in ("submitted", "in_doubt", "skipped") for id in ids)
