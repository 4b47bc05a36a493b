"""The projectors of the bank's views: one projector per view, each in its own thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from eventlab.accounts.views import AccountView, EventsByType, MoneyPerDay
from eventlab.errors import EventLabError, InvalidName
from eventlab.projections.projector import Projector
from eventlab.projections.view import View
from eventlab.servers import Lab
from eventlab.slices.store import open_store
from eventlab.store.answers import SERVER_ERRORS, reason, server

VIEWS: Final[Mapping[str, Callable[[str], View]]] = {
    "accounts": AccountView,
    "per_day": lambda accounts: MoneyPerDay(f"{accounts}_per_day"),
    "by_type": lambda accounts: EventsByType(f"{accounts}_by_type"),
}
#: The interval at which the waiting thread wakes up. A join without a timeout would delay signal
#: handlers.
WAKE_SECONDS: Final = 0.1

log = logging.getLogger(__name__)


def checked_view(name: str) -> str:
    """Return a view's short name.

    Raises InvalidName, which lists the short names of all views, if there is no such view.
    """
    if name not in VIEWS:
        raise InvalidName(f"there is no view {name!r}: the views are {', '.join(VIEWS)}")
    return name


def views(collection: str) -> dict[str, View]:
    """Return the bank's views by short name; ``collection`` is the accounts' collection.

    >>> [view.name for view in views("accountCollection").values()]
    ['accountCollection', 'accountCollection_per_day', 'accountCollection_by_type']
    """
    return {name: make(collection) for name, make in VIEWS.items()}


@contextmanager
def projectors(
    lab: Lab, category: str, collection: str, only: Collection[str] = ()
) -> Iterator[dict[str, Projector]]:
    """Open a projector for each view, and close the projectors at the end of the ``with`` block.

    If ``only`` names views, open projectors for these views only. Raises InvalidName for an unknown
    view.
    """
    for name in only:
        checked_view(name)
    store = open_store(lab.redis, category)
    with ExitStack() as closing:
        yield {
            name: closing.enter_context(Projector(store, lab.mongo, view))
            for name, view in views(collection).items()
            if not only or name in only
        }


def run_until(
    stop: threading.Event, running: Mapping[str, Projector], failed: list[str] | None = None
) -> list[str]:
    """Keep the views up to date until ``stop`` is set; return the names of the failed views.

    Each projector runs in its own thread. If a projector fails, its error is logged, and the
    other projectors continue. When no projector is left, the function returns. A batch that has
    begun is always finished. The name of a view is added to ``failed`` as soon as its projector
    fails.
    """
    failed = [] if failed is None else failed

    def run(name: str, projector: Projector) -> None:
        try:
            projector.run(stop)
        except BaseException as error:
            failed.append(name)  # also after ``stop``, because the current batch was not applied
            if isinstance(error, SERVER_ERRORS):
                log.error("view %s stopped: %s: %s", projector.name, server(error), reason(error))  # noqa: TRY400
            elif isinstance(error, EventLabError):
                log.error("%s", error)  # noqa: TRY400 - the message is sufficient
            else:
                raise

    threads = [threading.Thread(target=run, args=each, name=each[0]) for each in running.items()]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(WAKE_SECONDS)
    return failed
