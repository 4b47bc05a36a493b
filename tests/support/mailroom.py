"""A mailroom for tests: both fake servers, a store, and routers between them."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import redis

from eventlab import EventStore
from eventlab.events import Recorded
from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.mailroom.durability import DurableLog
from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.gmail.credentials import load
from eventlab.mailroom.router import Router
from eventlab.mailroom.work_item import WorkItem
from eventlab.sandbox.fakes import Fakes
from tests.support.processes import FORKSERVER, forked

ITEMS = "/interactions/work-items"
BATCH = "POST /batch"


def mail(n: int = 0, sender: str = "joe@example.com", body: str = "hello") -> bytes:
    head = f"From: {sender}\r\nSubject: letter {n}\r\nMessage-ID: <{n}@example.com>"
    return f"{head}\r\n\r\n{body}\r\n".encode()


@dataclass
class Room:
    """The fake servers and the store of one test, and routers between them."""

    both: Fakes
    store: EventStore
    closing: ExitStack
    pauses: list[float] = field(default_factory=list)

    def router(
        self,
        name: str = "hub",
        *,
        timeout: tuple[float, float] = (5, 30),
        total_timeout: float = 90,
        points: str | None = None,
        **options: Any,
    ) -> Router:
        """Return a router that does not pause and retries in its next round."""
        settings = self.both.settings()
        gmail = GmailClient(
            load(settings.gmail_token), endpoint=settings.gmail_endpoint, sleep=self.pauses.append
        )
        known = settings.cxone
        cxone = CXoneClient(
            known if points is None else replace(known, point_of_contact=points),
            timeout=timeout,
            total_timeout=total_timeout,
            sleep=self.pauses.append,
        )
        self.closing.enter_context(gmail)
        self.closing.enter_context(cxone)
        return Router(self.store, gmail, cxone, name=name, **{"backoff": 0.0, **options})

    def deliver(self, count: int = 1, **more: Any) -> list[str]:
        return [self.both.gmail.deliver(mail(n), **more) for n in range(count)]

    def item(self, id: str) -> WorkItem:
        return WorkItem(id).replay(self.store.read(id))

    def status(self, id: str) -> str:
        return self.item(id).status

    def types(self, id: str) -> list[str]:
        return [event.type for event in self.store.read(id)]

    def accepted(self) -> Counter[str]:
        """Return how many work items CXone accepted, by Gmail id."""
        return Counter(
            item.work_item_id.removeprefix("gmail:") for item in self.both.cxone.work_items
        )

    def order(self, *faults: Any) -> None:
        self.both.cxone.faults.order(*faults)

    def under_way(self, id: str, *, deadline: int | None = None, router: str = "another") -> int:
        """Record the intent of another router, which never reports an outcome."""
        item = self.item(id)
        now = DurableLog(self.store).now()
        attempt = item.submit(
            router=router, now=now, deadline=now + 60_000 if deadline is None else deadline
        )
        self.store.append(id, item.changes, expected=item.version - 1)
        return attempt


@contextmanager
def room(client: redis.Redis, category: str) -> Iterator[Room]:
    with ExitStack() as closing:
        both = closing.enter_context(Fakes(mails=()))
        yield Room(both, EventStore(client, category), closing)


# ----------------------------------------------------------------------------- routers as processes


@dataclass(frozen=True)
class Where:
    """What a router in another process needs to know."""

    socket: str
    category: str
    settings: Any
    name: str
    #: "fsynced": between intent and POST; "posting": after the router has checked the clock
    stop_at: str | None = None
    rounds: int | None = None
    page_size: int = 500
    options: dict[str, Any] = field(default_factory=dict)


class StoppingCXone(CXoneClient):
    """A client that stops its process right before its first POST, like a suspended machine."""

    stopped = False

    def post_work_item(self, **fields: Any) -> str | None:
        if not self.stopped:
            self.stopped = True
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().post_work_item(**fields)


def stop_once_fsynced(router: Router) -> None:
    """Stop the process once, as soon as an intent is on disk."""
    wait: Callable[..., None] = router._durable_log.wait_until_fsynced

    def wait_and_stop(events: Sequence[Recorded] = ()) -> None:
        wait(events)
        router._durable_log.wait_until_fsynced = wait  # type: ignore[method-assign]
        os.kill(os.getpid(), signal.SIGSTOP)

    router._durable_log.wait_until_fsynced = wait_and_stop  # type: ignore[method-assign]


def run(where: Where, summaries: Any) -> None:
    """Run a router round after round, and put each summary in the queue."""
    settings = where.settings
    kind = StoppingCXone if where.stop_at == "posting" else CXoneClient
    options = {"deadline_margin": 2.0, "backoff": 0.2, **where.options}
    with (
        redis.Redis(unix_socket_path=where.socket) as client,
        GmailClient(
            load(settings.gmail_token), endpoint=settings.gmail_endpoint, page_size=where.page_size
        ) as gmail,
        kind(settings.cxone, timeout=(1, 2), total_timeout=4) as cxone,
    ):
        router = Router(
            EventStore(client, where.category), gmail, cxone, name=where.name, **options
        )
        if where.stop_at == "fsynced":
            stop_once_fsynced(router)
        rounds = 0
        while where.rounds is None or rounds < where.rounds:
            rounds += 1
            summaries.put(router.run_once())


@contextmanager
def routing(where: Where) -> Iterator[tuple[Any, Any]]:
    """Run a router in a process, with a queue of its summaries; kill it at the end."""
    summaries = FORKSERVER.Queue()
    process = forked(run, where, summaries)
    process.start()
    try:
        yield process, summaries
    finally:
        process.kill()
        process.join()


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
