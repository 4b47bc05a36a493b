"""The projectors of the bank's views in one process; what ``eventlab project`` runs."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

from eventlab.accounts.views import AccountView, EventsByType, MoneyPerDay
from eventlab.errors import EventLabError, InvalidName
from eventlab.projections.projector import Projector
from eventlab.projections.view import View
from eventlab.servers import Lab, connect
from eventlab.store.store import EventStore

log = logging.getLogger(__name__)


def views(collection: str) -> dict[str, View]:
    """The views by the names that the command line has for them; ``collection`` is that of the accounts.

    Example: ``views("accountCollection")["per_day"].name``
    """
    return {
        "accounts": AccountView(collection),
        "per_day": MoneyPerDay(f"{collection}_per_day"),
        "by_type": EventsByType(f"{collection}_by_type"),
    }


@contextmanager
def projectors(
    category: str, collection: str, only: Collection[str]
) -> Iterator[dict[str, Projector]]:
    """A projector for each view, or for those named; they share the connections.

    Raises InvalidName for a view that there is not.

    Example: ``with projectors("accountStream", "accountCollection", ["accounts"]) as found: ...``
    """
    known = views(collection)
    for name in only:
        if name not in known:
            raise InvalidName(f"there is no view {name!r}: it is one of {', '.join(known)}")
    with ExitStack() as closing:
        lab: Lab = closing.enter_context(connect())
        store = EventStore(lab.redis, category)
        chosen = {name: view for name, view in known.items() if not only or name in only}
        yield {
            name: closing.enter_context(Projector(store, lab.mongo, view))
            for name, view in chosen.items()
        }


def follow(found: dict[str, Projector]) -> int:
    """Keep the views up to date until a SIGTERM or SIGINT; the exit status is 1 if one of them had to stop.

    A view that cannot go on is said, and the others go on without it, as long as there are any.

    Example: ``follow(found)``
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    stopped = list[str]()

    def run(name: str, projector: Projector) -> None:
        try:
            projector.run(stop)  # a batch that has begun is finished
        except EventLabError as error:
            log.error("%s", error)  # noqa: TRY400 - the sentence says all
        finally:
            if not stop.is_set():
                stopped.append(name)

    threads = [threading.Thread(target=run, args=each, name=each[0]) for each in found.items()]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.1)  # a join without end would keep the signals waiting
    return 1 if stopped else 0


def status(found: dict[str, Projector]) -> str:
    """The position and the lag of each view, a line each.

    Example: ``print(status(found))``
    """
    lines = [
        f"{'view':<10} {'collection':<32} {'position':<22} {'events behind':>13} {'seconds behind':>14}"
    ]
    for name, projector in found.items():
        lag = projector.lag()
        events = f"{lag.events:,}" if lag.exact else f"up to {lag.events:,}"
        lines.append(
            f"{name:<10} {projector.name:<32} {lag.position:<22} {events:>13} {lag.seconds:>14,.1f}"
        )
    return "\n".join(lines)


def log_to_stderr(*, verbose: bool) -> None:
    """Let what the projectors say be seen: a line per change of state, and with ``verbose`` one per batch.

    Example: ``log_to_stderr(verbose=True)``
    """
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", stream=sys.stderr)
    logging.getLogger("eventlab").setLevel(logging.DEBUG if verbose else logging.INFO)
